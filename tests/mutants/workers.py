"""One process for each set of tests: it imports and collects them once, and forks for each fault.

A fork has the functions of the module exchanged in place for those with the fault, wherever they were imported to, and runs
the tests that reach the fault's lines when there is none, the quickest first, up to the first that fails. Which these are is
seen in one run without a fault. Tests that start processes, which nobody watches, count as reaching every line. A fault that
works when the module is imported (a constant, a default, a class) meets all tests in a process that imports it anew.
"""

import ast
import contextlib
import functools
import gc
import hashlib
import itertools
import json
import os
import pathlib
import re
import resource
import signal
import sys
import threading
import time
import types

import pytest
from tests.mutants.table import own_tests

MEMORY = 8 << 30
HEAVY = ("numpy", "scipy.optimize", "scipy.sparse.linalg", "torch", "torch.fx", "hypothesis", "pytest", "yaml")
STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec", "os.spawn"}
BUDGET = 20  # CPU seconds of tests for each fault, the quickest first; what only later ones would see counts as surviving
KILLED, SURVIVED, ALONE = 1, 0, 3
NAMES = {KILLED: "killed", SURVIVED: "survived"}


def judged(tree, chosen, kept):
    """Yield the index, the fate and the CPU seconds of each fault; all faults are of modules with the same tests.

    ``kept`` is the folder of what earlier runs without a fault have shown.
    """
    for name in HEAVY:  # what takes long to import; nothing of deepatoms, which each process imports for itself
        __import__(name)
    seen, imports = _seen(tree, chosen, kept)
    alone = []
    for index, fate, seconds in _served(tree, chosen, _Server(tree, chosen, dict(seen), imports)):
        if fate == ALONE:
            alone.append((index, seconds))
        else:
            yield index, NAMES[fate], seconds
    trusted = {""}  # nothing has run: the import fails
    for index, before in alone:  # only now: two processes must not write one module
        fate, seconds = _alone(tree, chosen[index], seen, trusted)
        yield index, NAMES[fate], before + seconds


def statement(source, fault):
    """Return the first and the last line of a fault's statement, and whether a function's body holds it."""
    first, last, inside = fault.line, fault.line + source[fault.start:fault.end].count(b"\n"), False
    innermost = None
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno <= first and last <= node.end_lineno:
            innermost = node if innermost is None or node.lineno >= innermost.lineno else innermost
            if isinstance(node, ast.FunctionDef):
                inside = inside or node.body[0].lineno <= first
    return innermost.lineno, innermost.end_lineno, inside


def _served(tree, chosen, server):
    """Yield what a process that has collected the tests finds for each fault."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        server.pipe = os.fdopen(writing, "w")
        _pytest(tree, chosen, server)
    os.close(writing)
    with os.fdopen(reading) as lines:
        yield from map(json.loads, lines)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(_early(chosen[0].module, status))


def _early(module, status):
    """Return in words that a process of a module's tests ended before its work was done, and how (a waitpid's status)."""
    code = os.waitstatus_to_exitcode(status)
    how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
    tests = " ".join(own_tests(module))
    return f"the tests of {module} ended early, with {how}; run them without any fault first: pytest {tests}"


def _seen(tree, chosen, kept):
    """Return for each test its seconds, whether it starts processes, and the lines it reaches; and those that imports do."""
    digest = hashlib.sha256(repr(sorted({fault.module for fault in chosen})).encode())
    for path in sorted([*(tree / "lib").rglob("*.py"), *(tree / "tests").rglob("*.py")]):
        if path.is_relative_to(tree / "lib") or any(str(path).startswith(str(tree / own)) for own in own_tests(chosen[0].module)):
            digest.update(path.read_bytes())
    path = kept.absolute() / f"{digest.hexdigest()[:20]}.json"  # it is written from another folder
    if not path.exists():
        kept.mkdir(parents=True, exist_ok=True)
        child = os.fork()
        if not child:
            _pytest(tree, chosen, _Watcher(tree, chosen, path))
        _, status = os.waitpid(child, 0)
        if not path.exists():
            raise SystemExit(_early(chosen[0].module, status))
    imports, seen = json.loads(path.read_text())
    if failing := [name for name, each in seen.items() if each["fails"]]:
        print(f"left out, for they fail without any fault: {' '.join(failing)}", flush=True)
    return {name: each for name, each in seen.items() if not each["fails"]}, imports


def _within(seen, names):
    """Return the tests of some names within the budget, the quickest first."""
    ordered = sorted(names, key=lambda name: seen[name]["cpu"])
    ends = list(itertools.accumulate(seen[name]["cpu"] for name in ordered))
    return [name for name, end in zip(ordered, ends, strict=True) if end <= BUDGET] or ordered[:1]


def _usual(seen, names):
    """Return the CPU seconds and the seconds that some tests take without a fault."""
    return sum(seen[name]["cpu"] for name in names), sum(seen[name]["seconds"] for name in names)


def _alone(tree, fault, seen, trusted):
    """Return the status of all tests against a fault that is on disk before anything is imported, and its CPU seconds."""
    ordered = _Ordered(_within(seen, seen), tree.parent / "last")
    usual = _usual(seen, ordered.order)
    ordered.last.write_text("")
    with _written(tree, fault):
        status, seconds = _waited(lambda: _pytest(tree, [fault], ordered), usual)
    if status == KILLED and (name := ordered.last.read_text()) not in trusted:
        ordered.until = name  # does it pass in this order without a fault?
        again, _ = _waited(lambda: _pytest(tree, [fault], ordered), usual)
        if again != SURVIVED:
            del seen[name]
            return _alone(tree, fault, seen, trusted)
        trusted.add(name)
    return status, seconds


@contextlib.contextmanager
def _written(tree, fault):
    path = tree / "lib" / "deepatoms" / fault.module
    whole = path.read_bytes()
    try:
        path.write_bytes(fault.applied(whole))
        yield whole, path
    finally:
        path.write_bytes(whole)


def _waited(work, usual):
    """Return the status of some work in a fork and the CPU seconds it took; it is ended at five times the usual ones."""
    cpu, seconds = usual
    before = _cpu()
    child = os.fork()
    if not child:
        _limited(work, int(5 * cpu + 10))
    limit, ended, status = time.monotonic() + 10 * seconds + 30, 0, 0
    while not ended and time.monotonic() < limit:
        ended, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # the child, or what its tests have left behind
    if not ended:
        _, status = os.waitpid(child, 0)
    return {SURVIVED: SURVIVED, ALONE: ALONE}.get(os.waitstatus_to_exitcode(status), KILLED), _cpu() - before


def _limited(work, limit):
    """Do the work of a fork and end: it never returns."""
    status = KILLED
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        status = work()
    finally:
        os._exit(status)


def _cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _all_cpu():
    return time.process_time() + _cpu()


def _pytest(tree, chosen, plugin):
    """Run pytest over the modules' doctests and their own tests and end: this never returns."""
    status = KILLED
    try:
        _settle(tree)
        modules = [f"lib/deepatoms/{module}" for module in sorted({fault.module for fault in chosen})]
        status = int(pytest.main(["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin",
                                  "--hypothesis-seed=0", f"--rootdir={tree}", f"--basetemp={tree.parent / 'base'}",
                                  *modules, *own_tests(chosen[0].module)], [plugin]))
    finally:
        os._exit(status)


def _held():
    """Return the bytes that this process has already, which its limit counts too (none told where there is no /proc)."""
    told = pathlib.Path("/proc/self/status")
    found = re.search(r"VmData:\s+(\d+) kB", told.read_text()) if told.exists() else None
    return 1024 * int(found[1]) if found else 0


def _settle(tree):
    """Make this process one of the tree's: its folder, its modules, no cache, nothing on the terminal."""
    os.chdir(tree)
    sys.dont_write_bytecode = True  # a fault of the same length, in the same second, would be taken from a cache
    sys.path[:0] = [str(tree / "lib"), str(tree)]
    for name in [name for name in sys.modules if name.split(".")[0] in ("deepatoms", "tests")]:
        del sys.modules[name]
    os.environ |= {"PYTHONPATH": str(tree / "lib"), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tree.parent),
                   "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # nbval alone takes two seconds to import
    most = MEMORY + _held()
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


class _Fast:
    """A pytest plugin: a failing example is enough, the smallest one is not searched; none is kept."""

    def pytest_collection(self):
        from hypothesis import Phase, settings
        settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), deadline=None, database=None)
        settings.load_profile("mutants")


class _Ordered(_Fast):
    """All tests that pass without a fault, the quickest first; ``until`` is the last of them."""

    def __init__(self, order, last):
        self.order, self.last, self.until = {name: place for place, name in enumerate(order)}, last, None

    def pytest_collection_modifyitems(self, items):
        end = self.order.get(self.until, len(self.order))
        items[:] = sorted((item for item in items if self.order.get(item.nodeid, end + 1) <= end),
                          key=lambda item: self.order[item.nodeid])

    def pytest_runtest_logstart(self, nodeid):
        self.last.write_text(nodeid)


class _Watcher(_Fast):
    """One run without a fault: what each test takes and reaches."""

    def __init__(self, tree, chosen, path):
        self.files = {str(tree / "lib" / "deepatoms" / fault.module): fault.module for fault in chosen}
        self.path, self.lines, self.fixtures, self.starts = path, set(), {}, False

    def pytest_collection(self):
        super().pytest_collection()
        sys.settrace(self._trace)

    def pytest_collection_finish(self):
        sys.settrace(None)
        self.imports = self._places()

    def pytest_runtestloop(self, session):
        sys.addaudithook(lambda event, _: setattr(self, "starts", True) if event in STARTS else None)
        seen = {item.nodeid: self._watched(item, following) for item, following in
                zip(session.items, [*session.items[1:], None], strict=True)}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps([self.imports, seen]))
        part.rename(self.path)
        return True

    def _watched(self, item, following):
        _forget()
        self.lines, self.starts, start, cpu, before = set(), False, time.monotonic(), _all_cpu(), _children()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        try:
            fails = _fails(item, following)
        finally:
            sys.settrace(None)
            threading.settrace(None)
        # A child of an earlier test that has stood still since is none of this one's; one that worked was given work by it.
        starts = self.starts or not _children().items() <= before.items()
        for definition in itertools.chain(*item._fixtureinfo.name2fixturedefs.values()):
            lines, started = self.fixtures.get(id(definition), (set(), False))
            self.lines, starts = self.lines | lines, starts or started
        return {"fails": fails, "starts": starts, "seconds": time.monotonic() - start, "cpu": _all_cpu() - cpu,
                "lines": self._places()}

    def _places(self):
        return sorted({f"{self.files[name]}:{line}" for name, line in self.lines})

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename in self.files:
            self.lines.add((frame.f_code.co_filename, frame.f_lineno))
            return self._trace
        return None

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        """What a fixture that several tests share reaches and starts, each of them reaches and starts."""
        outer, self.lines, started, self.starts, before = self.lines, set(), self.starts, False, _children()
        result = yield
        self.fixtures[id(fixturedef)] = self.lines, self.starts or not _children().items() <= before.items()
        self.lines, self.starts = outer | self.lines, self.starts or started
        return result


class _Server(_Fast):
    """A process that has collected the tests and forks for each fault."""

    def __init__(self, tree, chosen, seen, imports):
        self.tree, self.chosen, self.seen, self.imports, self.pipe = tree, chosen, seen, imports, None
        self.last, self.trusted = tree.parent / "last", set()

    def pytest_runtestloop(self, session):
        functions = [each for each in gc.get_objects() if isinstance(each, types.FunctionType)]
        gc.freeze()
        for index, fault in enumerate(self.chosen):
            status, seconds = self._judged(fault, session.items, functions)
            self.pipe.write(json.dumps([index, status, seconds]) + "\n")
            self.pipe.flush()
        return True

    def _judged(self, fault, items, functions):
        with _written(self.tree, fault) as (whole, path):
            first, last, inside = statement(whole, fault)
            lines = {f"{fault.module}:{line}" for line in range(first, last + 1)}
            if not inside or lines & set(self.imports):
                return ALONE, 0.0
            reaching = {item.nodeid: item for item in items if self._reaches(item, fault, lines)}
            reaching = [reaching[name] for name in _within(self.seen, reaching)]
            status, seconds = _waited(lambda: self._run(fault, whole, path, reaching, functions), self._usual(*reaching))
        if status == KILLED and not self._trusted(reaching):
            status, more = self._judged(fault, items, functions)
            seconds += more
        return status, seconds

    def _reaches(self, item, fault, lines):
        seen = self.seen.get(item.nodeid)
        others = item.nodeid.startswith("lib/") and not item.nodeid.startswith(f"lib/deepatoms/{fault.module}:")
        return seen and not others and (seen["starts"] or lines & set(seen["lines"]))

    def _usual(self, *items):
        return _usual(self.seen, [item.nodeid for item in items])

    def _run(self, fault, whole, path, items, functions):
        _forget()
        if not exchanged(functions, whole, fault.applied(whole), str(path)):
            return ALONE
        for item, following in zip(items, [*items[1:], None], strict=False):  # no test at all where none reaches the fault
            self.last.write_text(item.nodeid)
            if _fails(item, following):
                return KILLED
        return SURVIVED

    def _trusted(self, items):
        """Tell whether the test that has failed passes by itself without a fault; leave it out from now on if not."""
        name = self.last.read_text()
        if name not in self.trusted:
            item = next(item for item in items if item.nodeid == name)
            status, _ = _waited(lambda: KILLED if _fails(item, None) else SURVIVED, self._usual(item))
            (self.trusted.add if status == SURVIVED else self.seen.pop)(name)
        return name in self.trusted


def _fails(item, following):
    from _pytest.runner import runtestprotocol
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=following))


def _forget():
    """Empty the caches of the package and the tests: what one test computes is not there for the next."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("deepatoms", "tests"):
            for value in list(vars(module).values()):
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()


def _children():
    """Return the living children of this process, each with the time it has worked (none where there is no /proc)."""
    found = {}
    for listed in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in listed.read_text().split():
                found[child] = pathlib.Path(f"/proc/{child}/schedstat").read_text().split()[0]
    return found


def exchanged(functions, before, after, path):
    """Give every living function of a source the code of another version of it; tell whether any of these differs."""
    old, new = (dict(_codes(compile(source, path, "exec", dont_inherit=True))) for source in (before, after))
    pairs = {code: new[key] for key, code in old.items() if key in new}
    differing, found = {code for key, code in old.items() if key in new and _changed(code, new[key])}, set()
    try:
        for function in functions:
            if function.__code__.co_filename == path and function.__code__ in pairs:
                found.add(function.__code__)
                function.__code__ = pairs[function.__code__]
    except ValueError:  # the fault has taken the last use of an outer name
        return False
    return bool(differing & found)


def _codes(code, counts=None):
    """Yield every code within one, with its qualified name and its number among those of that name."""
    counts = {} if counts is None else counts
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            counts[constant.co_qualname] = counts.get(constant.co_qualname, 0) + 1
            yield (constant.co_qualname, counts[constant.co_qualname]), constant
            yield from _codes(constant, counts)


def _changed(old, new):
    """Tell whether two codes differ in more than the numbers of their lines."""
    return old.replace(co_firstlineno=1, co_linetable=b"", co_exceptiontable=b"", co_consts=()) \
        != new.replace(co_firstlineno=1, co_linetable=b"", co_exceptiontable=b"", co_consts=()) \
        or len(old.co_consts) != len(new.co_consts) \
        or any(_changed(*pair) if isinstance(pair[0], types.CodeType) and isinstance(pair[1], types.CodeType)
               else repr(pair[0]) != repr(pair[1]) for pair in zip(old.co_consts, new.co_consts, strict=True))
