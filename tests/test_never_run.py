import pytest

from tests.never_run import implementation_of, main, never_run


def report(**outcomes):
    cases = "".join(
        f'<testcase classname="tests.laws" name="{name}">'
        + ('<skipped message="jax is not here"/>' if skipped else "")
        + "</testcase>"
        for name, skipped in outcomes.items()
    )
    return f"<testsuites><testsuite>{cases}</testsuite></testsuites>"


def test_a_test_is_told_apart_by_its_implementation():
    assert implementation_of("digits-16-float64-1-torch-compile") == "torch-compile"
    assert implementation_of("jax-float32") == "jax"
    assert implementation_of("float32") == ""


def test_skipped_everywhere_is_found_and_skipped_once_is_not():
    first = report(**{"test_a[jax]": True, "test_b[jax]": True, "test_c": False})
    second = report(**{"test_a[jax]": False, "test_b[jax]": True, "test_b[numpy]": False})
    assert never_run([first, second]) == {("tests.laws.test_b", "jax"): "jax is not here"}


def test_a_implementation_that_ran_one_of_its_cells_has_run():
    both = report(
        **{"test_gradients[digits-1-sklearn]": True, "test_gradients[digits-softmax-1-sklearn]": False}
    )
    assert never_run([both]) == {}


def test_a_file_has_run_where_a_test_of_it_has():
    skipped = (
        '<testsuites><testcase classname="" name="tests.laws"><skipped message="no jax"/></testcase>'
        "</testsuites>"
    )
    assert never_run([skipped]) == {("tests.laws", ""): "no jax"}
    assert never_run([skipped, report(test_a=False)]) == {}
    assert never_run([skipped, report(test_a=True)]) != {}


def test_the_command_fails_where_a_test_never_ran(tmp_path, capsys):
    path = tmp_path / "tests.xml"
    path.write_text(report(**{"test_a[jax]": True}))
    assert main([str(path)]) == 1
    assert "never run: tests.laws.test_a jax: jax is not here" in capsys.readouterr().out
    path.write_text(report(**{"test_a[jax]": False}))
    assert main([str(path)]) == 0
    with pytest.raises(SystemExit, match="expected the JUnit reports"):
        main([])
