"""Which tests are a module's own: for each part of ``lib/deepatoms`` the longest prefix counts; its doctests come first."""

TESTS = {
    "theory/arguments.py": ("tests/theory/test_bad_input.py",),
    "theory/arrays.py": ("tests/theory/test_bad_input.py", "tests/theory/test_pursuit.py"),
    "theory/convolutional.py": ("tests/theory/test_convolutional.py",),
    "theory/dictionaries.py": ("tests/theory/test_dictionaries.py", "tests/theory/test_bad_input.py"),
    "theory/frame_potential": ("tests/theory/test_frame_potential.py",),
    "theory/induced": ("tests/theory/test_induced.py", "tests/theory/test_graphs.py", "tests/theory/test_frame_potential.py"),
    "theory/max_affine.py": ("tests/theory/test_max_affine.py",),
    "theory/multilayer.py": ("tests/theory/test_multilayer.py", "tests/theory/test_bad_input.py"),
    "theory/operations.py": ("tests/theory/test_guarantee.py", "tests/theory/test_piecewise.py"),
    "theory/orthogonality.py": ("tests/theory/test_orthogonality.py",),
    "theory/partition": ("tests/theory/partition",),
    "theory/piecewise.py": ("tests/theory/test_piecewise.py", "tests/theory/test_guarantee.py"),
    "theory/pullback.py": ("tests/theory/test_guarantee.py", "tests/theory/test_splines.py"),
    "theory/pursuit.py": ("tests/theory/test_pursuit.py", "tests/theory/test_bad_input.py"),
    "theory/recovery.py": ("tests/theory/test_dictionaries.py", "tests/theory/test_bad_input.py"),
    "theory/resnests": ("tests/theory/test_resnests.py",),
    "theory/signatures.py": ("tests/theory/test_signatures.py",),
    "theory/skip_dictionaries": ("tests/theory/test_skip_dictionaries.py",),
    "theory/smoothing.py": ("tests/theory/test_smoothing.py",),
    "theory/splines.py": ("tests/theory/test_splines.py",),
    "theory/stability.py": ("tests/theory/test_stability.py",),
    "theory/keepers.py": ("tests/theory/test_guarantee.py",),
    "theory/untouched.py": ("tests/theory/test_guarantee.py",),
    "press/__init__.py": ("tests/package/test_doors.py",),
    "site/__init__.py": ("tests/package/test_doors.py",),
    "site/folds.py": ("tests/press/test_folds.py", "tests/press/test_ways.py", "tests/press/test_extensions.py"),
    "site/reference.py": ("tests/press/test_extensions.py",),
    "site/theme.py": ("tests/press/test_extensions.py", "tests/press/test_ways.py"),
    "claims": ("tests/claims",),
    "runs": ("tests/runs",),
    "data": ("tests/data",),
    "learning": ("tests/learning",),
    "pages": ("tests/pages",),
    "press": ("tests/press/test_press.py", "tests/press/test_normal_form.py", "tests/press/test_portable.py",
              "tests/press/test_repeat.py", "tests/press/test_servers.py", "tests/press/test_wheelhouse.py",
              "tests/press/test_faults.py", "tests/press/test_pdf.py"),
    "reports": ("tests/reports",),
    "site": ("tests/press/test_scoreboard.py", "tests/press/test_views.py", "tests/press/test_words.py",
             "tests/press/test_ways.py", "tests/press/test_extensions.py", "tests/pages/test_escaping.py"),
}


# What every function of the theory has to pass.
EVERY = {"theory": ("tests/theory/test_not_numbers.py", "tests/theory/test_models.py")}


def own_tests(module: str) -> tuple[str, ...]:
    """Return the tests of a module such as ``theory/pursuit.py``; empty where none are its own.

    >>> own_tests("theory/partition/codes.py")
    ('tests/theory/partition', 'tests/theory/test_not_numbers.py', 'tests/theory/test_models.py')
    """
    fitting = [prefix for prefix in TESTS if module == prefix or module.startswith(prefix + "/")]
    return (*TESTS[max(fitting, key=len)], *EVERY.get(module.split("/")[0], ())) if fitting else ()
