"""Names of modules in what is traced, compiled and profiled."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from flax import nnx


@contextmanager
def module_scopes(model: nnx.Module) -> Iterator[None]:
    """Within the block, trace the calls of modules of the model's classes under their paths, as in "stages.0.conv1".

    The names appear in all that is traced and compiled meanwhile, and so in a profiler's trace. The outermost module
    that is called names the modules below it. For one thread only: the classes are patched and restored.
    """
    kinds = {type(node) for _, node in nnx.iter_graph(model) if isinstance(node, nnx.Module)}
    own = {kind: kind.__call__ for kind in kinds if callable(getattr(kind, "__call__", None))}  # noqa: B004
    paths: dict[int, tuple[str, ...]] = {}
    open_paths: list[tuple[str, ...]] = []

    def named(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapper(self: nnx.Module, *args: Any, **kwargs: Any) -> Any:
            if not open_paths:
                paths.clear()
                for path, node in nnx.iter_graph(self):
                    if isinstance(node, nnx.Module):
                        paths[id(node)] = tuple(map(str, path))
            path = paths.get(id(self), ())
            above = open_paths[-1] if open_paths else ()
            relative = path[len(above) :] if path[: len(above)] == above else path
            open_paths.append(path)
            try:
                if not relative:
                    return call(self, *args, **kwargs)
                with jax.named_scope(".".join(relative)):
                    return call(self, *args, **kwargs)
            finally:
                open_paths.pop()

        return wrapper

    inherited = {kind for kind in own if "__call__" not in vars(kind)}
    try:
        for kind, call in own.items():
            if kind not in inherited or not any(base in own for base in kind.__mro__[1:]):
                kind.__call__ = named(call)  # type: ignore[method-assign]
        yield
    finally:
        for kind, call in own.items():
            if kind in inherited:
                if "__call__" in vars(kind):
                    del kind.__call__
            else:
                kind.__call__ = call  # type: ignore[method-assign]
