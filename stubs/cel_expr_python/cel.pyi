from collections.abc import Mapping

class Type:
    DYN: Type

class Value:
    def value(self) -> object: ...

class Expression:
    def eval(self, *, data: Mapping[str, object]) -> Value: ...

class Env:
    def compile(self, expression: str) -> Expression: ...

def NewEnv(*, variables: Mapping[str, Type]) -> Env: ...
