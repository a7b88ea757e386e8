"""NamedTuple as `typing` has it, but cheap to define: most of what a cached build does is to define its types.

`typing.NamedTuple` compiles every annotation and evaluates a constructor, 0.2 ms a class; rbuild has a
hundred of them. To a type checker the two are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple  # noqa: PLC0414 (re-exported)
else:
    from operator import itemgetter

    class _Definition(type):
        """Turns annotations into fields of a tuple, in order; assigned values are defaults."""

        def __new__(cls, name, bases, namespace):
            if bases:
                fields = tuple(namespace.get("__annotations__", ()))
                namespace["_field_defaults"] = {field: namespace[field] for field in fields if field in namespace}
                namespace.update((field, property(itemgetter(index))) for index, field in enumerate(fields))
                namespace["_fields"] = namespace["__match_args__"] = fields
                namespace["__slots__"] = ()
            return super().__new__(cls, name, bases or (tuple,), namespace)

    class NamedTuple(metaclass=_Definition):
        _fields = ()
        _field_defaults = {}  # noqa: RUF012 (each definition makes its own)

        def __new__(cls, *values, **named):
            if not named and len(values) == len(cls._fields):
                return tuple.__new__(cls, values)
            return tuple.__new__(cls, _arranged(cls, values, named))

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **changes):
            made = tuple.__new__(type(self), map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"{type(self).__name__} has no field {next(iter(changes))!r}")
            return made

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

        def __repr__(self):
            inside = ", ".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({inside})"

    def _arranged(cls, values, named):
        """Positional, named and default values in the order of the fields; TypeError as a function call has it."""
        if len(values) > len(cls._fields):
            raise TypeError(f"{cls.__name__} takes {len(cls._fields)} values, {len(values)} were given")
        found = dict(zip(cls._fields, values))  # noqa: B905 (fewer values than fields is the usual case)
        for field, value in named.items():
            if field in found or field not in cls._fields:
                raise TypeError(f"{cls.__name__} got {field!r} twice, or has no such field")
            found[field] = value
        found = {**cls._field_defaults, **found}
        missing = [field for field in cls._fields if field not in found]
        if missing:
            raise TypeError(f"{cls.__name__} misses {', '.join(missing)}")
        return [found[field] for field in cls._fields]
