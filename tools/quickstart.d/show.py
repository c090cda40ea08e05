"""Shows outrigger at work in front of mock-ai. Started by tools/quickstart, which says more."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from report import Report  # noqa: E402
from services import Running, Services, StartError  # noqa: E402
from steps import Steps  # noqa: E402

LOG_LINES = 15
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    pass


def interrupt(number, _frame):
    raise Interrupted(signal.Signals(number).name)


def start(report, services):
    report.section("Starting")
    began = time.monotonic()
    app = services.start_app()
    report.say(f"mock-ai, an AI service without a model: http://{services.app} (pid {app.pid})")
    proxy = services.start_proxy()
    report.say(f"outrigger in front of it:               http://{services.proxy} (pid {proxy.pid})")
    report.say(f"outrigger's probes and metrics:         http://{services.proxy_admin}")
    report.say(f"both accept connections after {(time.monotonic() - began) * 1000:.0f} ms; "
               f"outrigger's configuration, {services.config_file}:")
    print()
    with open(services.config_file, encoding="utf-8") as file:
        for line in file:
            print(f"    {line}".rstrip())


def run_steps(report, services):
    """A step that breaks off, for instance because a process ended, has failed; the rest goes on."""
    for step in Steps(report, services).all():
        try:
            step()
        except (OSError, RuntimeError, LookupError, ValueError) as error:
            report.check(False, "the step to come to its end", f"{type(error).__name__}: {error}")
    report.end_section()


def stop(report, services):
    report.section("Stopping")
    report.say("Both are asked to end (SIGTERM); outrigger finishes what it has begun first.")
    for name, status in services.stop().items():
        report.check(status == 0, f"{name} to end with status 0", status)
    report.end_section()


def show_logs(services):
    for service in services.running:
        print(f"\nthe last lines of {service.log}:")
        print("\n".join(service.output().splitlines()[-LOG_LINES:]))


def say_where(services):
    pids = " ".join(str(service.pid) for service in services.running)
    print(f"""
Both are left running:
  the proxy          http://{services.proxy}
  probes, metrics    http://{services.proxy_admin}/readyz  /metrics  /config  /breakers
  the AI service     http://{services.app}   (its ledger: http://{services.app_admin}/ledger)
  configuration      {services.config_file}
  logs               {" ".join(service.log for service in services.running)}

  try                curl -N http://{services.proxy}/v1/chat/completions \\
                       -d '{{"model":"mock-1","stream":true,"messages":[{{"role":"user","content":"hi"}}]}}'
  stop               kill {pids}""")


def with_running(report, services):
    began = time.monotonic()
    run_steps(report, services)
    return conclude(report, time.monotonic() - began)


def conclude(report, seconds, advice=""):
    """The last line, and the exit status."""
    if report.failed:
        print(f"\n{report.failed} of {report.failed + report.passed} checks failed "
              f"({seconds:.1f} s){advice}")
        return 1
    print(f"\nAll {report.passed} checks passed in {seconds:.1f} s.")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outrigger", help="the program")
    parser.add_argument("--mock-ai", help="the program")
    parser.add_argument("--keep", action="store_true", help="leave both running")
    parser.add_argument("--running", nargs=3, metavar=("PROXY", "ADMIN", "APP_ADMIN"),
                        help="start nothing; take the steps with what runs at these addresses")
    options = parser.parse_args()
    if not options.running and not (options.outrigger and options.mock_ai):
        parser.error("--outrigger and --mock-ai, or --running")

    report = Report()
    if options.running:
        return with_running(report, Running(*options.running))
    for number in SIGNALS:
        signal.signal(number, interrupt)
    directory = tempfile.mkdtemp(prefix="outrigger-quickstart-")
    services = Services(options.outrigger, options.mock_ai, directory)
    began = time.monotonic()
    is_kept = False  # the processes
    try:
        start(report, services)
        run_steps(report, services)
        if report.failed:
            show_logs(services)
        if options.keep:
            is_kept = True
            say_where(services)
        else:
            stop(report, services)
    except StartError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(f"\nquickstart: {error}, stopping", file=sys.stderr)
        return 130
    finally:
        if not is_kept:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # ending takes a moment and leaves nothing
            services.stop()
            if not report.failed:
                shutil.rmtree(directory, ignore_errors=True)
    return conclude(report, time.monotonic() - began, f". Logs and configuration are in {directory}")


if __name__ == "__main__":
    sys.exit(main())
