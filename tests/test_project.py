"""Where the folders beside the package are, in a checkout and in an installed package."""

from magstyle import project


def test_files_are_found_in_a_checkout_and_in_an_installed_package(tmp_path, monkeypatch):
    monkeypatch.setattr(project, "__file__", str(tmp_path / "magstyle" / "project.py"))
    for folder in ("configs", "magstyle/configs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "johnson.cfg").touch()
        assert project.file("configs", "johnson.cfg") == tmp_path / folder / "johnson.cfg"
