"""Tests tools/check-awaits on samples, on the table of bad shapes, and on the whole tree."""

import importlib.machinery
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOL = ROOT / "tools" / "check-awaits"

# For the many samples, which would take long with one process for each.
sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader("check_awaits", str(TOOL))
check_awaits = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("check_awaits", LOADER))
LOADER.exec_module(check_awaits)

GOOD = """
co_await f(x);
co_await loop_.Sleep(absl::Milliseconds(25));
Result result = co_await next(request);
const std::optional<int> error = co_await connecting;
Expected<std::vector<int>, Failure> lease = co_await upstream_.Connect(need);
auto& chunk = co_await reader->Next();
http::HeaderList* list = co_await f();
co_return co_await f(named);
if (pending) co_await drained.Wait();
if (Ready(a, b) && !c) co_await drained.Wait();
if (a) { b(); } else co_await drained.Wait();
while (pending() > 0 && !gone) co_await drained.Wait();
for (;;) { co_await drained.Wait(); }
for (int x : list) { const int y = co_await f(x); use(y); }
switch (n) { case 2: co_await f(); break; default: co_await g(); }
co_await std::move(task);
const int v = co_await f(table[i], Probe(a, 1));
const Text t = co_await f("{ ? && [", '{', 1'000);
auto fn = [](Loop& loop) -> Task<void> { co_await loop.Sleep(s); };
auto fn = [](Loop& loop) -> Task<std::optional<int>> { co_return co_await f(loop); };
/* if (co_await f()) */ co_await f();  // x ? co_await g() : 0
auto operator co_await() && noexcept;
""".strip().splitlines()

BAD = """
if (co_await f()) g();
while (co_await f()) g();
switch (co_await f()) { default: break; }
for (int x : co_await f()) g(x);
for (int i = 0; i < 3; ++i) co_await f(i);
const int v = c ? co_await f() : 0;
const int v = co_await f(c ? 1 : 2);
const bool b = co_await f() && co_await g();
const bool b = co_await f() || ready;
const bool b = ready && co_await f();
const int v = co_await f() + 1 + (co_await g());
const int v = 1 + co_await f();
const int v = (co_await f()).value();
g(co_await f());
co_await g(co_await f());
T t{co_await f(), 7};
T t = {co_await f()};
std::vector<T> v{co_await f(), co_await g()};
auto [a, b] = co_await f();
const auto& [a, b] = co_await f();
auto x = co_await f([t] { return t; });
co_await f(a, [&] { g(); });
co_await f(Pair{a, 1});
co_await f({a, b});
co_await Connect({.must_be_new = true});
value = co_await f();
value += co_await f();
EXPECT_EQ(co_await f(), 1);
ASSIGN_OR_RETURN(const int v, co_await f());
#define AWAIT(x) co_await x
return co_await f();
co_yield co_await f();
T t(co_await f());
list[co_await f()] = 1;
""".strip().splitlines()


def run(*arguments):
    return subprocess.run([sys.executable, str(TOOL), *map(str, arguments)], capture_output=True,
                          text=True, check=False)


class CheckAwaitsTest(unittest.TestCase):
    def check(self, statement):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "sample.cc"
            path.write_text(f"Task<void> Sample() {{\n  before();\n{statement}\n  after();\n}}\n")
            return list(check_awaits.check(path))

    def test_good_statements_pass(self):
        for statement in GOOD:
            with self.subTest(statement):
                self.assertEqual(self.check(statement), [])

    def test_bad_statements_are_reported_with_their_line(self):
        for statement in BAD:
            with self.subTest(statement):
                self.assertEqual([line for line, _ in self.check(statement)][:1], [3])

    def test_a_statement_may_span_lines(self):
        good = "Expected<Head, Failure> head =\n    co_await f(\n        headers);"
        self.assertEqual(self.check(good), [])
        bad = "const int v =\n    co_await f(\n        Pair{a, 1});"
        self.assertEqual([line for line, _ in self.check(bad)], [4])

    def test_every_line_marked_in_the_table_of_bad_shapes_is_found_and_no_other(self):
        table = ROOT / "tests" / "proxy" / "coro" / "bad_shapes_test.cc"
        marked = {number for number, line in enumerate(table.read_text().splitlines(), 1)
                  if re.search(r"co_await.*// bad:", line)}
        self.assertGreater(len(marked), 10)
        result = run(table)
        self.assertEqual(result.returncode, 1)
        found = {int(re.fullmatch(r"(.+):(\d+): .+", line).group(2))
                 for line in result.stdout.splitlines()}
        self.assertEqual(found, marked)

    def test_the_tree_awaits_as_it_should(self):
        result = run()
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertGreater(int(re.search(r"(\d+) files", result.stderr).group(1)), 50)

    def test_an_unknown_path_is_an_error(self):
        self.assertEqual(run("/no/such/folder").returncode, 1)


if __name__ == "__main__":
    unittest.main()
