"""Container images without an engine: OCI layouts in a tar, the same bytes for the same content."""
import hashlib
import io
import json
import os
import tarfile

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(files, links=()):
    """A layer's tar. files: [(path in the image, source path or bytes, mode)]; links: [(path, target)]. Parents are made."""
    buf = io.BytesIO()
    made = set()
    with tarfile.open(fileobj=buf, mode="w", format=tarfile.GNU_FORMAT) as t:
        def parents(path):
            parts = path.split("/")[:-1]
            for i in range(1, len(parts) + 1):
                p = "/".join(parts[:i])
                if p and p not in made:
                    made.add(p)
                    info = tarfile.TarInfo(p)
                    info.type, info.mode = tarfile.DIRTYPE, 0o1777 if p == "tmp" else 0o755
                    t.addfile(info)

        entries = [(p, s, m, None) for p, s, m in files] + [(p, None, 0o777, target) for p, target in links]
        for path, source, mode, target in sorted(entries, key=lambda e: e[0]):
            path = path.lstrip("/")
            parents(path)
            info = tarfile.TarInfo(path)
            info.mode = mode
            if target is not None:
                info.type, info.linkname = tarfile.SYMTYPE, target
                t.addfile(info)
                continue
            data = source if isinstance(source, bytes) else open(source, "rb").read()
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return buf.getvalue()


def _tar(entries, out):
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as t:
        for path, data in entries:
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), 0o644
            t.addfile(info, io.BytesIO(data))


def _write(out, name, config, layers, blobs):
    """layers: descriptors, base first; blobs: what the tar brings beside config and manifest."""
    config = json.dumps(config, sort_keys=True).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)}, "layers": layers,
    }, sort_keys=True).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [{
        "mediaType": MANIFEST, "digest": sha256(manifest), "size": len(manifest),
        "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.split(":")[-1]},
        "platform": {"architecture": config_arch(), "os": "linux"},
    }]}, sort_keys=True).encode()
    entries = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)]
    entries += [("blobs/sha256/" + sha256(b)[7:], b) for b in (*blobs, config, manifest)]
    _tar(entries, out)
    return sha256(manifest)


def config_arch():
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def write(out, name, layer_tar, config):
    """An image of one layer. config: Entrypoint, Env and so on. Returns the manifest's digest."""
    return _write(out, name, {
        "architecture": config_arch(), "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer_tar)]},
    }, [{"mediaType": LAYER, "digest": sha256(layer_tar), "size": len(layer_tar)}], [layer_tar])


def read(archive):
    """(config, layer descriptors) of the one image in an OCI archive."""
    with tarfile.open(archive) as t:
        def blob(digest):
            return t.extractfile("blobs/sha256/" + digest[7:]).read()
        index = json.load(t.extractfile("index.json"))
        manifest = json.loads(blob(index["manifests"][0]["digest"]))
        return json.loads(blob(manifest["config"]["digest"])), manifest["layers"]


def append(out, name, base_archive, layer_tar, config, whole):
    """An image that is another one and a layer on top. whole: bring the base's layers along; else the importer has them."""
    base_config, layers = read(base_archive)
    blobs = [layer_tar]
    if whole:
        with tarfile.open(base_archive) as t:
            blobs = [t.extractfile("blobs/sha256/" + d["digest"][7:]).read() for d in layers] + blobs
    merged = {k: base_config[k] for k in ("architecture", "os") if k in base_config}
    merged["config"] = {**base_config.get("config", {}), **config}
    merged["rootfs"] = {"type": "layers", "diff_ids": [*base_config["rootfs"]["diff_ids"], sha256(layer_tar)]}
    return _write(out, name, merged, [*layers, {"mediaType": LAYER, "digest": sha256(layer_tar), "size": len(layer_tar)}], blobs)


def rename(archive, out, name):
    """The same image under another name."""
    config, layers = read(archive)
    with tarfile.open(archive) as t:
        blobs = [t.extractfile("blobs/sha256/" + d["digest"][7:]).read() for d in layers]
    return _write(out, name, config, layers, blobs)
