"""The dictionary with good manners."""

from __future__ import annotations

import pytest

from seqmodels.errors import ConfigurationError
from seqmodels.registry import Registry, dotted_path


class Shape:
    """What is registered here."""


class Circle(Shape):
    def __init__(self, unit: str, radius: float, *, filled: bool = False) -> None:
        if not isinstance(radius, float):
            raise TypeError("radius must be a float")
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
        ("cirle", r"unknown shape 'cirle'; known: circle, square \(did you mean 'circle'\?\); .*`plugins:`"),
        ("no_such_module.Circle", "cannot import shape 'no_such_module.Circle': No module named 'no_such_module'"),
        ("collections.Circle", "cannot import shape 'collections.Circle'"),
        ("collections.OrderedDict", "shape 'collections.OrderedDict' is not a subclass of Shape"),
        (7, "expected a name or a mapping with the key `name` for the shape, got 7; known: circle, square"),
        ({"radius": 2.0}, "expected a name or a mapping with the key `name`"),
        ({"name": "circle", "radus": 2.0}, "shape 'circle' has no argument 'radus' .did you mean 'radius'"),
        ({"name": "circle", "unit": "cm", "radius": 2.0}, "shape 'circle' has no argument 'unit'"),
        ("circle", "shape 'circle' needs the argument 'radius'"),
        ({"name": "circle", "radius": "2"}, "shape 'circle': radius must be a float"),
    ],
)
def test_wrong_specs_are_refused(shapes, spec, message):
    with pytest.raises(ConfigurationError, match=message):
        shapes.create(spec, "cm")
