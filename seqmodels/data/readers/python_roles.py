"""The syntactic role of each token of Python source, by its syntax tree and the brackets that are open."""

from __future__ import annotations

import ast
import bisect
import token as token_types
from collections.abc import Iterable, Iterator

from seqmodels.data.readers.python_tokens import Position, Token, is_identifier, logical_lines, parse

# fmt: off
ROLES = (
    # names
    "function_definition", "method_definition", "class_definition", "parameter", "function_call", "method_call",
    "attribute", "attribute_store", "variable", "variable_store", "keyword_argument", "annotation", "decorator",
    "base_class", "exception_type", "module", "imported_name", "declaration",
    # words of the language
    "keyword", "comprehension", "conditional", "logical", "comparison",
    # literals
    "constant", "number", "string", "docstring",
    # brackets, a closing one as its opening one
    "call_bracket", "index_bracket", "parameter_bracket", "base_bracket", "list_bracket", "dictionary_bracket",
    "set_bracket", "group_bracket",
    # signs that have several meanings
    "block_colon", "slice_colon", "dictionary_colon", "annotation_colon", "lambda_colon",
    "assignment", "default_equals", "keyword_equals", "argument_comma", "parameter_comma", "element_comma",
    "arithmetic", "unary", "unpack", "variadic",
    # signs that have one
    "dot", "arrow", "semicolon",
)
# fmt: on


def tagged_lines(source: str) -> Iterator[tuple[list[Token], list[str]]]:
    """Yields the tokens of each logical line and their roles, each one of `ROLES`.

    Raises:
        SyntaxError, ValueError, RecursionError, tokenize.TokenError: the source is not Python of this version.
    """
    tree = parse(source)
    lines = list(logical_lines(source))
    roles = _TreeRoles(token for line in lines for token in line)
    roles.mark_all(tree)
    begin = 0
    for line in lines:
        yield line, _line_roles(line, roles.roles[begin : begin + len(line)])
        begin += len(line)


class _TreeRoles:
    """Marks the tokens of a file whose roles only the syntax tree knows; the others stay None."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self.tokens = list(tokens)
        self.starts = [token.start for token in self.tokens]
        self.ends = [token.end for token in self.tokens]
        self.roles: list[str | None] = [None] * len(self.tokens)

    def mark_all(self, tree: ast.Module) -> None:
        """Marks what every node of the tree tells, the inner nodes before the outer, which know more."""
        nodes: list[ast.AST] = [tree]
        for node in nodes:
            # Before 3.12 the nodes inside a formatted string have no true positions.
            if not isinstance(node, ast.JoinedStr) and type(node).__name__ != "TemplateStr":
                nodes.extend(ast.iter_child_nodes(node))
        for node in reversed(nodes):
            self._mark_name(node)
            self._mark_statement(node)

    def _mark_name(self, node: ast.AST) -> None:
        """Marks the tokens of a part of an expression."""
        match node:
            case ast.Name(ctx=ast.Load()):
                self._at(node, "variable")
            case ast.Name():
                self._at(node, "variable_store")
            case ast.Attribute(ctx=ast.Load()):
                self._last(node, "attribute")
            case ast.Attribute():
                self._last(node, "attribute_store")
            case ast.Call(func=ast.Name() as function):
                self._at(function, "function_call")
            case ast.Call(func=ast.Attribute() as function):
                self._last(function, "method_call")
            case ast.keyword(arg=str()):
                self._at(node, "keyword_argument")
            case ast.arg(annotation=annotation):
                self._at(node, "parameter")
                self._annotation(annotation)
            case ast.IfExp(body=body, test=test, orelse=otherwise):
                self._word(_end(body), _start(test), "if", "conditional")
                self._word(_end(test), _start(otherwise), "else", "conditional")
            case ast.Dict() | ast.DictComp():
                self._at(node, "dictionary_bracket")
            case ast.Set() | ast.SetComp():
                self._at(node, "set_bracket")

    def _mark_statement(self, node: ast.AST) -> None:
        """Marks the tokens of a statement, or of the head of one."""
        match node:
            case ast.Module(body=body):
                self._docstring(body)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._docstring(node.body)
                self._after(_start(node), "def", "function_definition")
                self._heads(node.decorator_list, "decorator")
                self._annotation(node.returns)
            case ast.ClassDef():
                self._docstring(node.body)
                self._after(_start(node), "class", "class_definition")
                self._heads(node.decorator_list, "decorator")
                self._heads(node.bases, "base_class")
                for statement in node.body:
                    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        self._after(_start(statement), "def", "method_definition")
            case ast.AnnAssign(target=target, annotation=annotation):
                self._word(_end(target), _start(annotation), ":", "annotation_colon")
                self._annotation(annotation)
            case ast.ExceptHandler(type=ast.expr() as kind):
                self._heads([kind], "exception_type")
                if node.name:
                    self._after(_end(kind), "as", "variable_store")
            case ast.Import():
                self._names(_start(node), _end(node), "module")
                for alias in node.names:
                    self._alias(alias, "module")
            case ast.ImportFrom():
                self._names(_start(node), _start(node.names[0]), "module")
                for alias in node.names:
                    self._alias(alias, "imported_name")
            case ast.Global() | ast.Nonlocal():
                self._names(_start(node), _end(node), "declaration")
            case ast.match_case(pattern=pattern):
                self._pattern(pattern)
            case _ if type(node).__name__ in ("TypeVar", "TypeVarTuple", "ParamSpec"):  # new in 3.12
                self._names(_start(node), _end(node), "parameter", only_unmarked=True)

    def _index(self, position: Position) -> int:
        return bisect.bisect_left(self.starts, position)

    def _at(self, node: ast.AST, role: str) -> None:
        """Marks the token that begins where the node does."""
        index = self._index(_start(node))
        if index < len(self.starts) and self.starts[index] == _start(node):
            self.roles[index] = role

    def _last(self, node: ast.AST, role: str) -> None:
        """Marks the token that ends where the node does."""
        index = bisect.bisect_left(self.ends, _end(node))
        if index < len(self.ends) and self.ends[index] == _end(node):
            self.roles[index] = role

    def _word(self, start: Position, end: Position, word: str, role: str) -> None:
        for index in range(self._index(start), self._index(end)):
            if self.tokens[index].text == word:
                self.roles[index] = role

    def _names(self, start: Position, end: Position, role: str, only_unmarked: bool = False) -> None:
        for index in range(self._index(start), self._index(end)):
            if is_identifier(self.tokens[index]) and not (only_unmarked and self.roles[index]):
                self.roles[index] = role

    def _heads(self, expressions: list[ast.expr], role: str) -> None:
        """Marks what expressions such as `a.b(c)` or `a.b[c]` name: `b`."""
        for expression in expressions:
            match expression:
                case ast.Name():
                    self._at(expression, role)
                case ast.Attribute():
                    self._last(expression, role)
                case ast.Call(func=inner) | ast.Subscript(value=inner):
                    self._heads([inner], role)
                case ast.Tuple(elts=elements):
                    self._heads(elements, role)

    def _annotation(self, annotation: ast.expr | None) -> None:
        if annotation is not None:
            self._names(_start(annotation), _end(annotation), "annotation")

    def _after(self, start: Position, word: str, role: str) -> None:
        """Marks the token that follows the first `word` at or after `start`."""
        for index in range(self._index(start), len(self.tokens) - 1):
            if self.tokens[index].text == word:
                self.roles[index + 1] = role
                return

    def _docstring(self, body: list[ast.stmt]) -> None:
        match body:
            case [ast.Expr(value=ast.Constant(value=str())) as statement, *_]:
                for index in range(self._index(_start(statement)), self._index(_end(statement))):
                    self.roles[index] = "docstring"

    def _alias(self, alias: ast.alias, role: str) -> None:
        """Marks `a.b as c`: the new name is an imported one even where a module is meant."""
        self._names(_start(alias), _end(alias), role)
        if alias.name == "*":
            self._at(alias, role)
        if alias.asname:
            self._last(alias, "imported_name")

    def _pattern(self, pattern: ast.pattern) -> None:
        """Marks what a pattern binds; the values and classes in it are expressions and marked already."""
        for index in range(self._index(_start(pattern)), self._index(_end(pattern))):
            if is_identifier(self.tokens[index]) and self.roles[index] is None:
                followed = self.tokens[index + 1].text if index + 1 < len(self.tokens) else ""
                self.roles[index] = "keyword_argument" if followed == "=" else "variable_store"


def _start(node: ast.AST) -> Position:
    return node.lineno, node.col_offset  # type: ignore[attr-defined]


def _end(node: ast.AST) -> Position:
    return node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]


_OPERATOR_WORDS = {"keyword", "logical", "comparison", "comprehension", "conditional"}
_COMPARISONS = {"==", "!=", "<", ">", "<=", ">=", "is"}
_PLAIN = {".": "dot", ";": "semicolon", "->": "arrow", "...": "constant", "and": "logical", "or": "logical"}
_COMMAS = {
    "call_bracket": "argument_comma",
    "base_bracket": "argument_comma",
    "parameter_bracket": "parameter_comma",
}
_COLONS = {
    "index_bracket": "slice_colon",
    "dictionary_bracket": "dictionary_colon",
    "parameter_bracket": "annotation_colon",
}


def _line_roles(line: list[Token], known: list[str | None]) -> list[str]:
    """Completes the roles of a logical line: the signs and reserved words, by the brackets that are open."""
    scan = _LineScan(line)
    return [scan.next_role(index, role) for index, role in enumerate(known)]


class _LineScan:
    """What has been read of a logical line, as far as it decides the roles of the tokens to come."""

    def __init__(self, line: list[Token]) -> None:
        self.line = line
        self.open: list[str] = []  # the roles of the brackets that are open
        self.lambdas: list[int] = []  # the depth of each lambda whose colon is to come
        self.loops: list[tuple[int, str]] = []  # the depth and role of each `for` whose `in` is to come
        self.definition = ""  # the role of the bracket that follows a definition's name
        self.after_operand = False  # whether the token before ends an operand, so that a binary sign may follow

    def next_role(self, index: int, known: str | None) -> str:
        """Returns the role of the token at `index`; `known` is what the syntax tree says of it."""
        token = self.line[index]
        role = self._role(token.text, token.kind, index, known)
        operator = token.kind == token_types.OP and token.text not in (")", "]", "}", "...")
        self.after_operand = not operator and role not in _OPERATOR_WORDS
        return role

    def _role(self, text: str, kind: int, index: int, known: str | None) -> str:
        if kind == token_types.NUMBER:
            return "number"
        if kind == token_types.STRING:
            return known or "string"
        if kind == token_types.NAME:
            return known or self._word(text, index)
        if text in ("(", "[", "{"):
            self.open.append(known if known and known.endswith("_bracket") else self._bracket(text))
            return self.open[-1]
        if text in (")", "]", "}"):
            role = self.open.pop()
            self.definition = "" if text == ")" and not self.open else self.definition
            return role
        return known or self._sign(text, index)

    def _word(self, text: str, index: int) -> str:
        """Returns the role of a reserved word, or of a soft keyword that the tree does not know as a name."""
        depth = len(self.open)
        near = [self.line[near].text if 0 <= near < len(self.line) else "" for near in (index - 1, index + 1)]
        if text in ("True", "False", "None"):
            return "constant"
        if text in ("def", "class"):
            self.definition = "parameter_bracket" if text == "def" else "base_bracket"
        if text == "lambda":
            self.lambdas.append(depth)
        if text == "for":
            self.loops.append((depth, "comprehension" if depth else "keyword"))
            return self.loops[-1][1]
        if text == "in" and self.loops and self.loops[-1][0] == depth:
            return self.loops.pop()[1]
        if text in ("in", "is") or (text == "not" and (near[0] == "is" or near[1] == "in")):
            return "comparison"
        if text in ("if", "async") and depth:
            return "comprehension"
        return "logical" if text in ("and", "or", "not") else "keyword"

    def _bracket(self, text: str) -> str:
        if self.definition and not self.open and text in ("(", "["):
            return self.definition if text == "(" else "parameter_bracket"  # [ opens the type parameters of 3.12
        if text == "{":
            return "dictionary_bracket"
        if self.after_operand:
            return "call_bracket" if text == "(" else "index_bracket"
        return "group_bracket" if text == "(" else "list_bracket"

    def _sign(self, text: str, index: int) -> str:
        inside = self.open[-1] if self.open else ""
        in_lambda = bool(self.lambdas) and self.lambdas[-1] == len(self.open)
        in_parameters = in_lambda or inside == "parameter_bracket"
        if text in _PLAIN:
            return _PLAIN[text]
        if text == ":":
            if in_lambda:
                self.lambdas.pop()
                return "lambda_colon"
            self.definition = self.definition if self.open else ""
            return _COLONS.get(inside, "block_colon")
        if text == ",":
            return "parameter_comma" if in_parameters else _COMMAS.get(inside, "element_comma")
        if text == "=":
            return "default_equals" if in_parameters else "keyword_equals" if inside else "assignment"
        if text in _COMPARISONS:
            return "comparison"
        if text == "@" and index == 0:
            return "decorator"
        if text.endswith("="):
            return "assignment"
        if text in ("*", "**", "/") and not self.after_operand:
            return "variadic" if in_parameters else "unpack"
        return "arithmetic" if self.after_operand else "unary"
