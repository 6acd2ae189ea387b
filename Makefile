# Everything here sets itself up: `make demo` on a fresh clone is enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export NO_MKDOCS_2_WARNING = 1

.PHONY: demo test quick lint lab docs bench published nbgrader gpu clean

demo: $(STAMP)            ## the three jobs on real input, with a report
	$(BIN)/vidlearn demo

test: $(STAMP)            ## the whole suite, on two cores
	$(BIN)/python -m pytest -n 2 --dist worksteal -q tests
	$(BIN)/python -m pytest -q --doctest-modules --ignore-glob='*/fast_cupy.py' --ignore-glob='*/samples/*' --ignore-glob='*/flow/__init__.py' --ignore-glob='*/layers/__init__.py' --ignore-glob='*/fusion/__init__.py' --ignore-glob='*/inflation/__init__.py' --ignore-glob='*/factorized/__init__.py' --ignore-glob='*/nonlocal_attention/__init__.py' --ignore-glob='*/slowfast/__init__.py' --ignore-glob='*/transformers/__init__.py' vidlearn

quick: $(STAMP)           ## a look into every room in a minute: house, judge, command line, grader, sandbox, flow
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not slow" tests/test_house.py tests/test_judge.py tests/test_cli.py tests/test_grade.py tests/test_sandbox.py tests/test_operations.py -k "not operations or flow"

lint: $(STAMP)            ## style, types, and notebooks in step with their sources
	$(BIN)/pip install -q -c constraints-cpu.txt -e '.[dev]'
	$(BIN)/ruff check .
	$(BIN)/mypy vidlearn
	$(BIN)/python -m vidlearn.notebooks check

lab: $(STAMP)             ## lectures and exercises in JupyterLab
	$(BIN)/vidlearn lab

docs: $(STAMP)            ## the site, in site/
	$(BIN)/pip install -q -c constraints-cpu.txt -e '.[docs]'
	$(BIN)/python -m vidlearn.notebooks site
	$(BIN)/python -m mkdocs build --strict

bench: $(STAMP)           ## dense flow, networks, attention and grading against their peers
	$(BIN)/python benchmarks/dense.py
	PYTHONPATH=. $(BIN)/python -W ignore benchmarks/nets.py
	PYTHONPATH=. $(BIN)/python benchmarks/attention.py
	PYTHONPATH=. $(BIN)/python benchmarks/grading.py

published: $(STAMP)       ## our networks against PyTorchVideo's and Hugging Face's too, which live in a folder of their own
	$(BIN)/pip install -q --no-deps --upgrade --target .peers pytorchvideo==0.1.5 fvcore iopath portalocker parameterized yacs termcolor tabulate
	$(BIN)/pip install -q --no-deps --upgrade --target .peers transformers==4.49.0 huggingface_hub==0.29.3 tokenizers==0.21.1 safetensors regex tqdm pyyaml
	PYTHONPATH=.peers $(BIN)/python -m pytest -q tests/test_nets_published.py tests/test_nets_transformers.py

nbgrader: $(STAMP)        ## nbgrader itself, in a folder of its own, reads and grades our notebooks
	$(PYTHON) -m venv .peers-nbgrader
	.peers-nbgrader/bin/python -m pip install -q --disable-pip-version-check nbgrader==0.9.6 -e .
	$(BIN)/python -m pytest -q tests/test_grade_nbgrader.py

gpu:                      ## the GPU tests, with the Python that has CuPy and a CUDA build of torch
	PYTHONPATH=. $(PYTHON) -m pytest -q -m gpu tests/test_operations.py tests/test_nets.py

$(STAMP): pyproject.toml constraints-cpu.txt
	$(PYTHON) -c 'import sys; sys.exit("vidlearn needs Python 3.11 or newer; set PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints-cpu.txt -e '.[test]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) .peers .peers-nbgrader site build dist demo-report docs/lectures docs/exercises
