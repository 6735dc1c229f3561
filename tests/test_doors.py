"""What crosses a room's door has a type: no public thing takes or gives a dictionary of anything."""

import ast
import re
from collections.abc import Iterator

from tests.test_architecture import ROOMS
from tests.test_names import modules

ANYTHING = re.compile(r"\b(dict|Mapping|MutableMapping)\[str, Any\]")

ALLOWED = {
    "web.api.auth.right": "the arguments of a route's decorator, which are FastAPI's",
    "web.api.auth.signed_in": "the same",
    "web.api.auth.public": "the same",
    "web.api.queues.Queue.settings": "published: programs see this type in the OpenAPI document",
    "web.api.queues.set_queue": "a request's body, read setting by setting: the OpenAPI document shows it",
}
"""Where such a dictionary may stand → why."""


def annotations(one: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    given = one.args
    for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if argument is not None and argument.annotation is not None:
            yield argument.annotation
    if one.returns is not None:
        yield one.returns


def is_public(name: str) -> bool:
    return name == "__init__" or not name.startswith("_")


def doors(body: list[ast.stmt], name: str) -> Iterator[tuple[str, ast.expr]]:
    """The public functions, methods, attributes and type aliases of a module or a class, with their annotations."""
    for one in body:
        match one:
            case ast.ClassDef() if not one.name.startswith("_"):
                yield from doors(one.body, f"{name}.{one.name}")
            case ast.FunctionDef() | ast.AsyncFunctionDef() if is_public(one.name):
                for annotation in annotations(one):
                    yield f"{name}.{one.name}", annotation
            case ast.AnnAssign(target=ast.Name(id=target)) if not target.startswith("_"):
                yield f"{name}.{target}", one.annotation
                if ast.unparse(one.annotation) == "TypeAlias" and one.value is not None:
                    yield f"{name}.{target}", one.value
            case ast.Assign(targets=[ast.Name(id=target)], value=ast.Subscript()):
                if not target.startswith("_"):
                    yield f"{name}.{target}", one.value


def of_anything() -> set[str]:
    return {
        door
        for module, tree in modules(*ROOMS)
        for door, annotation in doors(tree.body, module)
        if ANYTHING.search(ast.unparse(annotation))
    }


def test_no_dictionary_of_anything_crosses_a_door() -> None:
    found = of_anything()
    assert sorted(found - ALLOWED.keys()) == [], "say what is in it: a TypedDict or a dataclass"
    assert sorted(ALLOWED.keys() - found) == [], "an exception that is none any more"
