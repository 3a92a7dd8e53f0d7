"""What a reader changes and runs again finds its names as it left them.

A function that reads a name of the notebook, and a snippet that the text says to run, break
when a later cell gives this name to something else. After "Run all" they would see the later one.
"""

import ast
import re

import nbformat

from tests.notebooks.test_lint import lesson

SNIPPET = re.compile(r"`([^`\n]+)`")


def bound(tree):
    """Return the names that a cell binds at its top level, but for functions and imports."""
    found, todo = set(), list(ast.iter_child_nodes(tree))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda | ast.comprehension):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        todo += ast.iter_child_nodes(node)
    return found


def free(function):
    """Return the names that a function reads and does not bind."""
    nodes = [node for statement in function.body for node in ast.walk(statement)]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    mine = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    mine |= {argument.arg for node in ast.walk(function) if isinstance(node, ast.arguments)
             for argument in (*node.args, *node.kwonlyargs)}  # fmt: skip
    return {name.id for name in names} - mine


def rebound(path):
    """Yield name and place of what earlier functions and "Change" snippets read, bound anew."""
    cells = nbformat.read(path, as_version=4).cells
    seen, needed = set(), {}
    for i, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            if "**Change**" in cell.source:
                for snippet in SNIPPET.findall(cell.source.split("**Change**")[1]):
                    try:
                        names = {
                            n.id for n in ast.walk(ast.parse(snippet)) if isinstance(n, ast.Name)
                        }
                    except SyntaxError:
                        continue
                    needed |= dict.fromkeys(names & seen, i)
            continue
        source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
        tree = ast.parse(source)
        new = bound(tree)
        back = {
            t.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
            for t in node.targets
            if isinstance(t, ast.Name)
        }  # words = critter_words
        new -= back & seen
        yield from ((name, needed[name], i) for name in new & set(needed))
        seen |= new
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                needed |= dict.fromkeys(free(node) & seen, i)


@lesson
def test_no_later_cell_takes_a_name_that_is_still_in_use(path):
    assert [f"{name}: cell {use}, bound anew in cell {i}" for name, use, i in rebound(path)] == []
