"""The objects that are applied. Each text is another one, so that nothing comes out of a cache."""
import json


def policy(name, n_rules, salt):
    """A profile like those people write: capabilities, networks, and paths with globs and alternations. It includes nothing, so
    the number of rules is what it says."""
    kinds = (
        "/srv/{name}/{salt}-{i}/** r,",
        "/var/lib/{name}/{i}/*.{{db,wal,{salt}}} rwk,",
        "owner /tmp/{name}-{i}-[0-9]*/{{,**}} rw,",
        "/etc/{name}/{i}.d/{{,*.conf}} r,",
        "deny /opt/{name}/{salt}/{i}/secret* rwl,",
    )
    head = ["capability net_bind_service,", "capability setuid,", "network inet stream,", "network inet6 stream,"][:n_rules]
    rules = head + [kinds[i % len(kinds)].format(name=name, salt=salt, i=i) for i in range(n_rules - len(head))]
    lines = "".join(f"  {r}\n" for r in rules)
    return f"abi <abi/3.0>,\n\nprofile {name} flags=(attach_disconnected, mediate_deleted) {{\n{lines}}}\n"


def manifest(name, n_rules=100, salt="a"):
    return {"apiVersion": "hauberk.dev/v1alpha1", "kind": "AppArmorProfile", "metadata": {"name": name},
            "spec": {"policy": policy(name, n_rules, salt)}}


def write(path, *manifests):
    """A file for kubectl."""
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)} if len(manifests) > 1
                               else manifests[0], indent=1))
    return path
