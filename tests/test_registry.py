"""The dictionary with good manners."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pytest

from seqmodels.errors import ConfigurationError
from seqmodels.registry import Registry, dotted_path


class Shape:
    """What is registered here."""


class Circle(Shape):
    def __init__(self, unit: str, radius: float, *, filled: bool = False) -> None:
        if not isinstance(radius, float):
            raise TypeError("radius must be a float, with a point")
        self.unit, self.radius, self.filled = unit, radius, filled


class Square(Shape):
    pass


@pytest.fixture
def shapes() -> Registry[Shape]:
    registry: Registry[Shape] = Registry("shape", Shape, supplied=1)
    registry.register("circle")(Circle)
    registry.register("square")(Square)
    return registry


def test_entries_are_found_by_name_and_by_path(shapes):
    assert shapes.names() == ["circle", "square"]
    assert shapes.get("circle") is Circle
    assert shapes.get(dotted_path(Circle)) is Circle
    assert shapes.is_registered("circle")
    assert shapes.is_registered(dotted_path(Circle))
    assert not shapes.is_registered("collections.OrderedDict")


def test_what_the_data_decides_is_no_argument(shapes):
    assert list(shapes.arguments("circle")) == ["radius", "filled"]


def test_a_spec_becomes_an_entry(shapes):
    circle = shapes.create({"name": "circle", "radius": 2.0}, "cm")
    assert (circle.unit, circle.radius, circle.filled) == ("cm", 2.0, False)
    assert shapes.check("square") == ("square", {})


def test_registering_the_same_class_again_is_no_error(shapes):
    assert shapes.register("circle")(Circle) is Circle


def test_a_name_is_given_once(shapes):
    with pytest.raises(ConfigurationError, match=r"shape 'circle' is registered already, by .*Circle; choose another"):
        shapes.register("circle")(Square)


@pytest.mark.parametrize("entry", [dict, "circle"])
def test_other_kinds_are_refused(shapes, entry):
    with pytest.raises(ConfigurationError, match=r"cannot register .* as shape 'other': not a subclass of Shape"):
        shapes.register("other")(entry)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("shapes:Circle", r"unknown shape 'shapes:Circle'.*by its dotted path here, 'shapes.Circle'"),
        ("cirle", r"unknown shape 'cirle'; known: circle, square \(did you mean 'circle'\?\); .*`plugins:`"),
        ("no_such_module.Circle", "cannot import shape 'no_such_module.Circle': No module named 'no_such_module'"),
        ("collections.Circle", "cannot import shape 'collections.Circle'"),
        ("collections.OrderedDict", "shape 'collections.OrderedDict' is not a subclass of Shape"),
        (7, "expected a name or a mapping with the key `name` for the shape, got 7; known: circle, square"),
        ({"radius": 2.0}, "expected a name or a mapping with the key `name`"),
        ({"name": "circle", "radus": 2.0}, "shape 'circle' has no argument 'radus' .did you mean 'radius'"),
        ({"name": "circle", "unit": "cm", "radius": 2.0}, "shape 'circle' has no argument 'unit'"),
        ("circle", "shape 'circle' needs the argument 'radius'"),
        ({"name": "circle", "radius": "2"}, "shape 'circle': radius must be a number, got '2'"),
    ],
)
def test_wrong_specs_are_refused(shapes, spec, message):
    with pytest.raises(ConfigurationError, match=message):
        shapes.create(spec, "cm")


class Typed(Shape):
    def __init__(
        self,
        *,
        whole: int = 1,
        number: float = 1.0,
        flag: bool = False,
        text: str = "a",
        choice: Literal["tanh", "relu"] = "tanh",
        either: int | str | None = None,
        several: Sequence[int] = (),
        nested: str | Mapping[str, Any] = "square",
        table: dict[str, Any] | None = None,
        action: Callable[[], None] | None = None,
        unhinted=None,
    ) -> None:
        pass


class Unresolved(Shape):
    """Has a hint that exists for type checkers alone."""

    def __init__(self, *, size: Absent = 1, flag: bool = False) -> None:  # noqa: F821
        pass


@pytest.fixture
def typed(shapes) -> Registry[Shape]:
    registry: Registry[Shape] = Registry("shape", Shape)
    registry.register("typed")(Typed)
    registry.register("unresolved")(Unresolved)
    return registry


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("whole", "two", "shape 'typed': whole must be a whole number, got 'two'"),
        ("whole", True, "whole must be a whole number, got True"),
        ("whole", 1.5, "whole must be a whole number, got 1.5"),
        ("number", "0.5", "number must be a number, got '0.5'"),
        ("number", False, "number must be a number, got False"),
        ("flag", "yess", "flag must be true or false, got 'yess'"),
        ("flag", 1, "flag must be true or false, got 1"),
        ("text", 7, "text must be text, got 7; put it in quotes: '7'"),
        ("text", ["a"], r"text must be text, got \['a'\]$"),
        ("choice", "rulu", r"choice must be one of tanh, relu, got 'rulu' \(did you mean 'relu'\?\)"),
        ("either", 1.5, "either must be a whole number or text, got 1.5"),
        ("several", "abc", "several must be a list, got 'abc'"),
        ("nested", 7, "nested must be text or a mapping, got 7"),
        ("table", ["a"], r"table must be a mapping, got \['a'\]"),
    ],
)
def test_an_argument_of_another_type_is_refused(typed, argument, value, message):
    with pytest.raises(ConfigurationError, match=message):
        typed.create({"name": "typed", argument: value})


@pytest.mark.parametrize(
    "arguments",
    [
        {"whole": 2, "number": 2, "flag": True, "text": "b", "choice": "relu"},
        {"number": "1e-3"},
        {"either": "a", "several": [1, 2], "nested": "circle", "table": {"a": 1}},
        {"either": 7, "several": (1, 2), "nested": {"name": "circle"}, "unhinted": object()},
        {"whole": None, "flag": None, "choice": None, "several": None, "text": None},
        {"text": {"name": "circle"}, "action": print, "choice": functools.partial(print)},
    ],
)
def test_arguments_of_the_right_type_and_those_that_are_not_plain_are_left_alone(typed, arguments):
    assert isinstance(typed.create({"name": "typed", **arguments}), Typed)


def test_a_class_whose_hints_cannot_be_read_is_not_checked(typed):
    assert isinstance(typed.create({"name": "unresolved", "size": "x", "flag": "x"}), Unresolved)


def test_what_the_constructor_refuses_by_its_type_names_the_entry(shapes):
    with pytest.raises(ConfigurationError, match="shape 'circle': radius must be a float, with a point"):
        shapes.create({"name": "circle", "radius": 2}, "cm")


def test_names_of_classes(shapes):
    assert shapes.name_of(Circle) == "circle"
    assert shapes.name_of(Shape) == dotted_path(Shape)
