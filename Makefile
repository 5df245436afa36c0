PYTHON ?= python3
VENV := .venv
PORT ?= 8000
# Tested versions: what works today works in the same way tomorrow.
INSTALL = $(VENV)/bin/python -m pip install --quiet --constraint constraints.txt
# The public names, and the rooms that are worth a look from Python.
REFERENCE := magstyle magstyle.models magstyle.losses magstyle.training magstyle.data magstyle.optimization

.PHONY: demo gallery page docs notebook test constraints

demo: $(VENV)/installed
	@$(VENV)/bin/magstyle examples/pagoda.jpg --which_styles=all --sheet --format=jpg
	@echo
	@echo "A photo is painted in every style; out/pagoda_sheet.jpg shows all pictures. Try next, also with photos of yours:"
	@echo "    $(VENV)/bin/magstyle examples/coffee.jpg --which_styles=starry"
	@echo "    $(VENV)/bin/magstyle styles"
	@echo "    $(VENV)/bin/magstyle --help"

# The sheets smaller than the program makes them, as the repository is small.
gallery: $(VENV)/installed
	@$(VENV)/bin/python bin/stylize.py examples/*.jpg --which_styles=all --sheet --output_dir=out/gallery
	@for photo in $(basename $(notdir $(wildcard examples/*.jpg))); do $(VENV)/bin/python -c 'import sys; from PIL import Image; \
		sheet = Image.open(sys.argv[1]); sheet.thumbnail((1000, 1000)); sheet.save(sys.argv[2], quality=40, method=6)' out/gallery/$${photo}_sheet.png docs/gallery/$$photo.webp; done

page: $(VENV)/installed
	@$(VENV)/bin/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null || \
		{ echo "Port $(PORT) cannot be had; another program may use it. Choose another, as by: make page PORT=$$(($(PORT) + 1))" >&2; exit 1; }
	@$(VENV)/bin/python bin/build_page.py --output_dir=out/page
	@echo "The page is at http://127.0.0.1:$(PORT) until you press Ctrl-C."
	@-$(VENV)/bin/python -m http.server --bind 127.0.0.1 --directory out/page $(PORT)

docs: $(VENV)/installed-docs
	@$(VENV)/bin/python -m pdoc --docformat google --output-directory out/docs $(REFERENCE)
	@echo "The reference of the Python functions: out/docs/index.html"

notebook: $(VENV)/installed-docs
	$(VENV)/bin/python docs/execute_notebook.py examples/magstyle.ipynb

test: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal

# The newest versions of everything, in an environment of its own. Then .ci/run tells whether they are good.
constraints:
	rm -rf out/constraints
	$(PYTHON) -m venv out/constraints
	@# The resolver of pip 23.0, which comes with Python 3.10, does not come to an end on TensorFlow's dependencies.
	out/constraints/bin/pip install --quiet --upgrade pip setuptools
	out/constraints/bin/pip install --quiet --editable '.[test,jax,beam,docs,page]'
	out/constraints/bin/python .ci/freeze.py > constraints.txt

# Of a tested version, pip too; another pip, if there is one, installs it in less time than ensurepip takes.
$(VENV)/bin/python:
	$(PYTHON) -m venv --without-pip $(VENV)
	@$(PYTHON) -m pip --python $@ install --quiet --no-compile --constraint constraints.txt pip 2>/dev/null || $@ -m ensurepip

# The light set, in a few seconds: what Python imports, it compiles by itself.
$(VENV)/installed: requirements.txt constraints.txt setup.py pyproject.toml | $(VENV)/bin/python
	$(INSTALL) --no-compile --requirement requirements.txt pip setuptools
	$(INSTALL) --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(INSTALL) --no-build-isolation --editable '.[test,jax,beam]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(INSTALL) --no-build-isolation --editable '.[docs]'
	@touch $@
