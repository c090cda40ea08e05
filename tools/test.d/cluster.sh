# The cluster stage of tools/test --ci. Sourced; needs `set -m` off and a folder build/.
#
#   begin_cluster_install            builds the cluster's programs beside everything else, at the lowest priority
#   run_cluster_tests when_ready     runs tests/kubernetes/run if they are there by now
#   run_cluster_tests at_the_end     waits for them as long as the whole run may take
#   cluster_result                   what became of it: passed, FAILED, or NOT RUN and why
#
# On a machine that has them (/opt/cluster, or the Go caches in ~/.cache/go-build and ~/go) they are there at once;
# on a new one they take some ten minutes of both processors. Not run is not failed, but it is said; run and failed
# is failed. Nothing is left running.

cluster=${OUTRIGGER_CLUSTER:-../shared/cluster}
cluster_latest_start=3600  # seconds since the start: with cluster_limit and its end, 80 minutes in all
cluster_limit=1080
cluster_install=           # process of the build, a group of its own
cluster_state="NOT RUN: not asked for"

begin_cluster_install() {
  cluster_state=waiting
  if [[ ! -x $cluster/install ]]; then
    cluster_state="NOT RUN: there is no $cluster"
  elif ((EUID != 0)); then
    cluster_state="NOT RUN: the cluster needs root"
  else
    setsid env NICE=19 "$cluster/install" > build/cluster-install.log 2>&1 &
    cluster_install=$!
    trap end_cluster_install EXIT
  fi
}

end_cluster_install() {
  [[ -n $cluster_install ]] || return 0
  kill -- "-$cluster_install" 2> /dev/null || true
  cluster_install_ends_within 10 || kill -KILL -- "-$cluster_install" 2> /dev/null || true
  wait "$cluster_install" 2> /dev/null || true
  cluster_install=
}

# Whether its end has come, within so many seconds.
cluster_install_ends_within() {
  timeout "$1" tail --pid="$cluster_install" -s 0.5 -f /dev/null
}

run_cluster_tests() {
  [[ $cluster_state == waiting ]] || return 0
  local patience=1
  if [[ $1 == at_the_end ]]; then
    patience=$((cluster_latest_start > SECONDS ? cluster_latest_start - SECONDS : 1))
  fi
  if ((SECONDS > cluster_latest_start)); then
    cluster_state="NOT RUN: $((SECONDS / 60)) minutes have passed, and the whole must end within 80"
    return 0
  fi
  if ! cluster_install_ends_within "$patience"; then
    [[ $1 == at_the_end ]] || return 0
    end_cluster_install
    cluster_state="NOT RUN: its programs were not built after $((SECONDS / 60)) minutes, see build/cluster-install.log"
    return 0
  fi
  if ! wait "$cluster_install"; then
    cluster_install=
    cluster_state="NOT RUN: its programs could not be built: $(tail -n 1 build/cluster-install.log)"
    return 0
  fi
  cluster_install=
  step cluster cluster_tests
}

cluster_tests() {
  # It takes the cluster down when it is asked to end.
  if timeout --kill-after=60 "$cluster_limit" tests/kubernetes/run; then
    cluster_state="passed"
  else
    local status=$?
    cluster_state="FAILED"
    ((status != 124)) || cluster_state="FAILED: not over after $cluster_limit s"
    failed=1
  fi
}

cluster_result() { echo "=== cluster tests: $cluster_state"; }
