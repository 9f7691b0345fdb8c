"""Write gauntlet/api/messages from gauntlet/api/proto.

    python scripts/generate_messages.py            write what is missing or stale, remove what is left over
    python scripts/generate_messages.py --check    write nothing; exit 1 and name the stale files, if any

Needs grpcio-tools. The output depends on the .proto files only, not on the compiler's version: the compiler
gives descriptors, and both the modules and their typed stubs are made from those here.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import keyword
import sys
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

API = Path(__file__).resolve().parent.parent / "api" / "gauntlet" / "api"
PROTO = API / "proto"
MESSAGES = API / "messages"
BY_HAND = {"__init__.py", "_pool.py"}
NOTE = "# Written by scripts/generate_messages.py from gauntlet/api/proto. Do not edit.\n"

F = FieldDescriptorProto
SCALARS = {
    F.TYPE_BOOL: "bool",
    F.TYPE_BYTES: "bytes",
    F.TYPE_DOUBLE: "float",
    F.TYPE_ENUM: "int",
    F.TYPE_FLOAT: "float",
    F.TYPE_STRING: "str",
}


class CompileError(Exception):
    """The compiler refused the .proto files; it has said why on stderr."""


def compile_protos(root: Path) -> FileDescriptorSet:
    """All .proto files below root, each after the files it imports."""
    protoc = importlib.import_module("grpc_tools.protoc")  # ships no types
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "descriptors"
        if protoc.main(["protoc", f"-I{root}", f"--descriptor_set_out={out}", "--include_imports", *names]):
            raise CompileError(f"cannot compile the files below {root}")
        return FileDescriptorSet.FromString(out.read_bytes())


def module_name(package: str) -> str:
    return package.replace(".", "_")


class Package:
    """What the files of one proto package define together; it becomes one module and its stub."""

    def __init__(self, name: str, files: Sequence[FileDescriptorProto], packages: Iterable[str]) -> None:
        self.name = name
        self.packages = sorted(packages, key=len, reverse=True)  # the longest prefix of a name is its package
        self.messages = [message for file in files for message in file.message_type]
        self.enums = [enum for file in files for enum in file.enum_type]
        self.explicit = {
            f"{name}.{message.name}"
            for file in files
            if file.syntax != "proto3"
            for message in file.message_type
        }
        self.imports: set[str] = set()

    def module(self) -> str:
        lines = ["from gauntlet.api.messages import _pool", ""]
        names: list[str] = []
        for enum in self.enums:
            lines.append(f'{enum.name} = _pool.enum("{self.name}.{enum.name}")')
            lines += [f"{value.name} = {value.number}" for value in enum.value]
            names += [enum.name, *(value.name for value in enum.value)]
        for message in self.messages:
            lines.append(f'{message.name} = _pool.message("{self.name}.{message.name}")')
            names.append(message.name)
        lines += ["", "__all__ = [", *(f'    "{name}",' for name in sorted(names)), "]", ""]
        return NOTE + "\n".join(lines)

    def stub(self) -> str:
        body: list[str] = []
        for enum in self.enums:
            body += ["", *enum_stub(enum)]
        for message in self.messages:
            body += ["", *self.message_stub(message, f"{self.name}.{message.name}")]
        text = "\n".join(body) + "\n"
        head = ["import builtins", "import typing", ""]
        head += ["import google.protobuf.descriptor", "import google.protobuf.message"]
        if "internal.containers." in text:
            head.append("import google.protobuf.internal.containers")
        if "EnumTypeWrapper" in text:
            head.append("from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper")
        head += [f"from gauntlet.api.messages import {name}" for name in sorted(self.imports)]
        if "collections.abc." in text:
            head.insert(1, "import collections.abc")
        return NOTE + "\n".join(head) + "\n" + text

    def reference(self, type_name: str) -> str:
        """How the stub writes a message type: `Member`, `Outer.Inner`, `mvccpb.KeyValue`."""
        full = type_name.removeprefix(".")
        package = next(name for name in self.packages if full.startswith(name + "."))
        local = full.removeprefix(package + ".")
        if package == self.name:
            return local
        self.imports.add(module_name(package))
        return f"{module_name(package)}.{local}"

    def field_type(self, field: FieldDescriptorProto) -> str:
        if field.type == F.TYPE_MESSAGE:
            return self.reference(field.type_name)
        # A field may be called `bytes` or `int`; the type must still mean the builtin one.
        return "builtins." + SCALARS.get(field.type, "int")

    def message_stub(self, message: DescriptorProto, full_name: str) -> Iterator[str]:
        yield "@typing.final"
        yield f"class {message.name}(google.protobuf.message.Message):"
        yield "    DESCRIPTOR: google.protobuf.descriptor.Descriptor"
        maps = {
            f".{full_name}.{inner.name}": inner for inner in message.nested_type if inner.options.map_entry
        }
        for enum in message.enum_type:
            yield from indented(enum_stub(enum))
        for inner in message.nested_type:
            if not inner.options.map_entry:
                yield from indented(self.message_stub(inner, f"{full_name}.{inner.name}"))
        for field in message.field:
            yield f"    {field.name.upper()}_FIELD_NUMBER: typing.Final = {field.number}"
        fields = [field for field in message.field if not keyword.iskeyword(field.name)]
        for field in fields:
            yield from indented(self.field_stub(field, maps))
        yield from indented(self.init_stub(fields, maps))
        yield from indented(presence_stub(message, explicit=full_name in self.explicit))

    def field_stub(self, field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> Iterator[str]:
        kind = self.field_type(field) if field.type_name not in maps else ""
        if field.type_name in maps:
            key, value = (self.field_type(part) for part in maps[field.type_name].field)
            container = f"google.protobuf.internal.containers.MessageMap[{key}, {value}]"
        elif field.label == F.LABEL_REPEATED:
            shape = "Composite" if field.type == F.TYPE_MESSAGE else "Scalar"
            container = f"google.protobuf.internal.containers.Repeated{shape}FieldContainer[{kind}]"
        elif field.type == F.TYPE_MESSAGE:
            container = kind
        else:
            yield f"{field.name}: {kind}"
            return
        # Containers and sub-messages are changed in place and cannot be assigned.
        yield "@builtins.property"
        yield f"def {field.name}(self) -> {container}: ..."

    def init_stub(
        self, fields: list[FieldDescriptorProto], maps: dict[str, DescriptorProto]
    ) -> Iterator[str]:
        if not fields:
            yield "def __init__(self) -> None: ..."
            return
        yield "def __init__("
        yield "    self,"
        yield "    *,"
        for field in fields:
            if field.type_name in maps:
                key, value = (self.field_type(part) for part in maps[field.type_name].field)
                kind = f"collections.abc.Mapping[{key}, {value}] | None"
            elif field.label == F.LABEL_REPEATED:
                kind = f"collections.abc.Iterable[{self.field_type(field)}] | None"
            elif field.type == F.TYPE_MESSAGE:
                kind = f"{self.field_type(field)} | None"
            else:
                kind = self.field_type(field)
            yield f"    {field.name}: {kind} = ...,"
        yield ") -> None: ..."


def enum_stub(enum: EnumDescriptorProto) -> Iterator[str]:
    yield f"{enum.name}: EnumTypeWrapper"
    for value in enum.value:
        yield f"{value.name}: typing.Final = {value.number}"


def presence_stub(message: DescriptorProto, *, explicit: bool) -> Iterator[str]:
    """HasField, ClearField and WhichOneof with the very names they take, so that mypy finds a wrong one.

    explicit: plain fields know whether they were set (proto2); in proto3 asking that raises ValueError.
    """
    every = [field.name for field in message.field]
    oneofs = {index: oneof.name for index, oneof in enumerate(message.oneof_decl)}
    present = [
        field.name
        for field in message.field
        if field.label != F.LABEL_REPEATED
        and (explicit or field.type == F.TYPE_MESSAGE or field.HasField("oneof_index"))
    ]
    present += oneofs.values()
    if present:
        yield f"def HasField(self, field_name: {literal(present)}) -> builtins.bool: ..."
    if every:
        yield f"def ClearField(self, field_name: {literal([*every, *oneofs.values()])}) -> None: ..."
    for index, name in oneofs.items():
        members = [
            field.name
            for field in message.field
            if field.HasField("oneof_index") and field.oneof_index == index
        ]
        yield f"def WhichOneof(self, oneof_group: {literal([name])}) -> {literal(members)} | None: ..."


def literal(names: Iterable[str]) -> str:
    return "typing.Literal[" + ", ".join(f'"{name}"' for name in names) + "]"


def indented(lines: Iterable[str]) -> Iterator[str]:
    return ("    " + line for line in lines)


def generate(protos: FileDescriptorSet) -> dict[str, str]:
    """The whole of the generated folder: file name -> text."""
    packages: dict[str, list[FileDescriptorProto]] = {}
    for file in protos.file:
        packages.setdefault(file.package, []).append(file)
    encoded = base64.b64encode(protos.SerializeToString(deterministic=True)).decode()
    lines = "".join(f'    "{line}"\n' for line in textwrap.wrap(encoded, 100))
    out = {"_descriptors.py": f"{NOTE}FILES = (\n{lines})\n"}
    for name, files in packages.items():
        package = Package(name, files, packages)
        out[f"{module_name(name)}.py"] = package.module()
        out[f"{module_name(name)}.pyi"] = package.stub()
    return out


def stale_files(wanted: dict[str, str], folder: Path) -> list[Path]:
    """Files that differ from what they should be, are missing, or should not be there."""
    present = {path.name for path in folder.iterdir() if path.suffix in (".py", ".pyi")} - BY_HAND
    return [
        folder / name
        for name in sorted(present | set(wanted))
        if name not in wanted or name not in present or (folder / name).read_text() != wanted[name]
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write gauntlet/api/messages from gauntlet/api/proto.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something is stale")
    options = parser.parse_args(arguments)
    try:
        wanted = generate(compile_protos(PROTO))
    except CompileError as error:
        print(error, file=sys.stderr)
        return 2
    stale = stale_files(wanted, MESSAGES)
    for path in stale:
        if options.check:
            print(f"stale: {path}", file=sys.stderr)
        elif path.name in wanted:
            path.write_text(wanted[path.name])
        else:
            path.unlink()
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
