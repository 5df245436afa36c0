"""Runs a notebook in its own folder, and stores what its cells show in it.

python docs/execute_notebook.py examples/magstyle.ipynb
"""

import pathlib
import sys

import nbclient
import nbformat


def main(path: pathlib.Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    # Without the times, a notebook that shows the same is the same file.
    nbclient.NotebookClient(notebook, record_timing=False, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # Progress bars and what TensorFlow logs are for those who wait.
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
