"""Checks Bicep files: their syntax, that names are declared, and every property against Azure's models.

The models are those of the management libraries, which are made from the descriptions that Azure's
own interface is made from. Names, required properties, choices, types, and what is only for reading.
"""

import ast
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

import pycep

MODELS = {
    "Microsoft.Web/serverfarms": ("web", "AppServicePlan"),
    "Microsoft.Web/sites": ("web", "Site"),
    "Microsoft.Web/sites/slots": ("web", "Site"),
    "Microsoft.DBforPostgreSQL/flexibleServers": ("postgresqlflexibleservers", "Server"),
    "Microsoft.DBforPostgreSQL/flexibleServers/databases": ("postgresqlflexibleservers", "Database"),
    "Microsoft.DBforPostgreSQL/flexibleServers/configurations": (
        "postgresqlflexibleservers",
        "Configuration",
    ),
    "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules": (
        "postgresqlflexibleservers",
        "FirewallRule",
    ),
    "Microsoft.KeyVault/vaults": ("keyvault", "VaultCreateOrUpdateParameters"),
    "Microsoft.KeyVault/vaults/secrets": ("keyvault", "SecretCreateOrUpdateParameters"),
    "Microsoft.App/containerApps": ("appcontainers", "ContainerApp"),
}
# Those of authorization have another form: learn.microsoft.com/azure/templates, roleAssignments.
ROLE = {"roleDefinitionId", "principalId", "principalType"}
# The value of a parameter, which is known only when it is deployed.
PARAMETER = object()
OF_EVERY_RESOURCE = {"name", "parent", "scope", "dependsOn"}


@cache
def tree(library, part):
    folder = Path(importlib.util.find_spec(f"azure.mgmt.{library}").origin).parent
    return ast.parse((folder / "models" / f"{part}.py").read_text())


@cache
def classes(library, part="_models"):
    return {node.name: node for node in tree(library, part).body if isinstance(node, ast.ClassDef)}


@cache
def fields(library, model):
    """The properties of a model: name, annotation, and whether they can only be read."""
    found = {}
    node = classes(library)[model]
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes(library):
            found |= fields(library, base.id)
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.value, ast.Call):
            continue
        keywords = {word.arg: word.value for word in item.value.keywords}
        name = ast.literal_eval(keywords["name"]) if "name" in keywords else item.target.id
        visibility = ast.literal_eval(keywords["visibility"]) if "visibility" in keywords else []
        found[name] = (ast.unparse(item.annotation), visibility == ["read"])
    return found


def choices(library, enum):
    body = classes(library, "_enums")[enum].body
    return {item.value.value for item in body if isinstance(item, ast.Assign)}


def problems(library, annotation, value, variables, where):
    if isinstance(value, str) and value in variables:
        value = variables[value]
        if value is PARAMETER:
            return
    models = [name for name in re.findall(r"_models\.(\w+)", annotation)]
    listed = re.match(r"^(Optional\[)?(List|list)\[", annotation)
    if isinstance(value, list):
        if not listed:
            yield f"{where}: a list, where {annotation} is wanted"
        for place, item in enumerate(value):
            one = re.sub(r"^(Optional\[)?(List|list)\[", "", annotation)
            yield from problems(library, one, item, variables, f"{where}[{place}]")
    elif isinstance(value, dict) and not value.keys() & {"function", "operator"}:
        if not models or models[0] not in classes(library):
            yield f"{where}: an object, where {annotation} is wanted"
            return
        known = fields(library, models[0])
        for name, inner in value.items():
            if name not in known:
                yield f"{where}.{name}: {models[0]} has no such property"
            elif known[name][1]:
                yield f"{where}.{name}: can only be read"
            else:
                yield from problems(library, known[name][0], inner, variables, f"{where}.{name}")
        for name, (wanted, only_read) in known.items():
            if not only_read and name not in value and not wanted.startswith("Optional["):
                yield f"{where}: {name} is missing"
    elif isinstance(value, bool):
        if "bool" not in annotation:
            yield f"{where}: true or false, where {annotation} is wanted"
    elif isinstance(value, int) and not re.search(r"int|float", annotation):
        yield f"{where}: a number, where {annotation} is wanted"
    elif isinstance(value, str) and re.fullmatch(r"(Optional\[)?(bool|int|float)\]?", annotation):
        yield f"{where}: a text, where {annotation} is wanted"
    elif isinstance(value, str) and models and models[0] in classes(library, "_enums"):
        if value not in choices(library, models[0]) and "$" not in value:
            yield f"{where}: `{value}` is none of {sorted(choices(library, models[0]))}"


def resource_problems(name, resource, variables):
    kind, config = resource["type"], dict(resource["config"])
    if not re.fullmatch(r"20\d\d-\d\d-\d\d", resource["api_version"]):
        yield f"{name}: `{resource['api_version']}` is no version that stays"
    for word in OF_EVERY_RESOURCE:
        config.pop(word, None)
    if kind == "Microsoft.Authorization/roleAssignments":
        if config.keys() != {"properties"} or config["properties"].keys() != ROLE:
            yield f"{name}: wants {sorted(ROLE)}"
    elif kind not in MODELS:
        yield f"{name}: nothing is known of {kind}"
    else:
        library, model = MODELS[kind]
        yield from problems(library, f"_models.{model}", config, variables, name)


def undeclared(text, declared):
    """Names that stand before a dot or a bracket, or in ${…}, without having been declared."""
    code = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    strings = re.findall(r"'(?:[^'\\]|\\.)*'", code)
    inner = " ".join(part for string in strings for part in re.findall(r"\$\{([^}]*)\}", string))
    code = re.sub(r"'(?:[^'\\]|\\.)*'", "''", code)
    values = re.findall(r"(?:=|:|\?|\[|\(|,)\s*([a-z]\w*)\b(?!\s*[:(=])", code)
    names = values + re.findall(r"\b([a-z]\w*)(?![\w(])(?=$|[.,)\s])", re.sub(r"\.\w+", "", inner))
    return sorted(set(names) - declared - {"true", "false", "string", "int", "null", "for", "in"})


def main(paths):
    complaints = []
    for path in map(Path, paths):
        parsed = pycep.BicepParser().parse(file_path=path)
        parts = ("parameters", "variables", "resources", "modules")
        declared = {name for part in parts for name in parsed.get(part) or {}}
        variables = dict.fromkeys(parsed.get("parameters") or {}, PARAMETER)
        variables |= {name: it["value"] for name, it in (parsed.get("variables") or {}).items()}
        complaints += [
            f"{path}: `{name}` is declared nowhere" for name in undeclared(path.read_text(), declared)
        ]
        for name, resource in parsed["resources"].items():
            complaints += [f"{path}: {it}" for it in resource_problems(name, resource, variables)]
    print("\n".join(complaints) or "ok")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
