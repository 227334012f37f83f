"""Mutants of a solution: the same source with one small mistake of the kind that people make.

A check that accepts a mutant has not looked. Mutants are deterministic, differ from the original and from
each other, and are made from the syntax tree, so each one parses.
"""

import ast

SWAPPED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
RENAMED = {
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "sum": "mean",
    "mean": "sum",
    "ceil": "floor",
    "floor": "ceil",
    "exp": "log",
    "log": "exp",
    "log1p": "log",
    "expm1": "exp",
    "ones": "zeros",
    "zeros": "ones",
    "any": "all",
    "all": "any",
}
NO_EFFECT = {
    "array",
    "asarray",
    "ascontiguousarray",
    "copy",
    "astype",
    "float",
    "print",
}  # dropping them changes no value
MODULES = {"np", "math", "scipy", "special", "stats", "keras", "ops", "tf"}
SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_params"}


def mutants(source):
    """All mutants of a source, without duplicates.

    >>> mutants("def f(x):\\n    return -x")
    ['def f(x):\\n    return x']
    """
    tree = ast.parse(source)
    original = ast.unparse(tree)
    return [text for text in dict.fromkeys(_edits(tree, tree)) if text != original]


def _edits(tree, node):
    """Put every alternative of every node below `node` in its place, and yield the source of the whole tree."""
    for field, value in ast.iter_fields(node):
        if field in SKIPPED_FIELDS or (isinstance(node, ast.keyword) and node.arg == "axis"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                for other in _alternatives(child):
                    _put(node, field, index, other)
                    yield ast.unparse(ast.fix_missing_locations(tree))
                _put(node, field, index, child)
                yield from _edits(tree, child)


def _put(node, field, index, child):
    if index is None:
        setattr(node, field, child)
    else:
        getattr(node, field)[index] = child


def _alternatives(node):
    """Wrong versions of one node."""
    match node:
        case ast.operator() | ast.cmpop() | ast.boolop() if type(node) in SWAPPED:
            yield SWAPPED[type(node)]()
        case ast.BinOp():  # a dropped term or factor
            yield node.left
            yield node.right
        case ast.UnaryOp():  # a dropped minus or not
            yield node.operand
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.AugAssign() | ast.If():  # a forgotten step or special case
            yield ast.Pass()
        case ast.keyword(arg="axis"):
            first = ast.unparse(node.value) == "0"
            yield ast.keyword("axis", ast.Constant(-1 if first else 0))
            yield ast.keyword("axis", ast.Constant(None))
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(node.value + 1)
            yield ast.Constant(node.value - 1)
        case ast.Constant(value=float()):
            yield ast.Constant(node.value + 1)
            yield ast.Constant(node.value * 2)
        case ast.Slice():
            yield ast.Slice(_plus(node.lower, 1), node.upper, node.step)
            yield ast.Slice(node.lower, _plus(node.upper, -1), node.step)
        case ast.Call():
            yield from _calls(node)


def _calls(call):
    """A function taken for its opposite, not called at all, or called with a bound that is off by one."""
    function = call.func
    name = getattr(function, "attr", getattr(function, "id", ""))
    if name in RENAMED:
        other = RENAMED[name]
        renamed = ast.Attribute(function.value, other, ast.Load()) if hasattr(function, "attr") else ast.Name(other)
        yield ast.Call(renamed, call.args, call.keywords)
    if name in ("range", "arange") and call.args:
        for step in (1, -1):
            at = min(len(call.args), 2) - 1  # the end
            ends = [_plus(a, step) if i == at else a for i, a in enumerate(call.args)]
            yield ast.Call(function, ends, call.keywords)
    elif name not in NO_EFFECT:
        receiver = getattr(function, "value", None)
        if receiver is not None and ast.unparse(receiver).split(".")[0] not in MODULES:
            yield receiver
        elif call.args and not isinstance(call.args[0], ast.Starred):
            yield call.args[0]


def _plus(bound, step):
    if bound is None:
        return ast.Constant(step)
    return ast.BinOp(bound, ast.Add() if step > 0 else ast.Sub(), ast.Constant(abs(step)))
