"""Shared by the tests of this folder: AWS as moto simulates it, and the scripts under test as modules."""

import importlib.machinery
import importlib.util
import pathlib

import pytest
from moto import mock_aws

HERE = pathlib.Path(__file__).parent
REGION = "us-east-1"


def load(name):
    """Loads a script of this folder as a module."""
    loader = importlib.machinery.SourceFileLoader(name, str(HERE / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def simulated_aws(monkeypatch, tmp_path):
    """AWS with credentials and a region, in an empty working directory."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.chdir(tmp_path)
    with mock_aws(config={"lambda": {"use_docker": False}}):
        yield
