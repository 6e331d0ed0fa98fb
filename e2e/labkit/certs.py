"""The lab's certificate authority, the certificates it signs, and the kubeconfig files made from them."""
import json
import secrets
import subprocess

from .ui import LabError

DAYS = "30"
_EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
# This host, a guest's view of it, and the service address inside the cluster.
SERVER_NAMES = ("IP:127.0.0.1,IP:10.0.2.2,IP:10.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,"
                "DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local")


def _openssl(*args):
    run = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         text=True, check=False)
    if run.returncode:
        raise LabError(f"openssl {args[0]} failed: {run.stderr.strip()}")


def authority(pki):
    """Makes what a control plane needs, once: the CA, the key that signs service account tokens, and the certificates."""
    if (pki / "admin.crt").exists():
        return
    _openssl("req", "-x509", *_EC, "-days", DAYS, "-subj", "/CN=hauberk-lab", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", str(pki / "ca.key"), "-out", str(pki / "ca.crt"))
    _openssl("genrsa", "-out", str(pki / "sa.key"), "2048")
    issue(pki, "apiserver", "/CN=kube-apiserver", "serverAuth", SERVER_NAMES)
    issue(pki, "kubelet-client", "/O=system:masters/CN=kube-apiserver", "clientAuth")
    issue(pki, "admin", "/O=system:masters/CN=admin", "clientAuth")


def issue(pki, name, subject, usage, names=None):
    key, csr, ext, crt = (str(pki / f"{name}.{suffix}") for suffix in ("key", "csr", "ext", "crt"))
    _openssl("req", *_EC, "-subj", subject, "-keyout", key, "-out", csr)
    with open(ext, "w") as f:
        f.write(f"extendedKeyUsage={usage}\n" + (f"subjectAltName={names}\n" if names else ""))
    # A number of its own: nodes start at once, and a shared file of serial numbers is half written when the other reads it.
    _openssl("x509", "-req", "-in", csr, "-CA", str(pki / "ca.crt"), "-CAkey", str(pki / "ca.key"), "-set_serial", f"0x{secrets.token_hex(16)}",
             "-days", DAYS, "-extfile", ext, "-out", crt)


def node(pki, name):
    """A kubelet's client certificate, whose name the Node authorizer and NodeRestriction go by."""
    if not (pki / f"{name}.crt").exists():
        issue(pki, name, f"/O=system:nodes/CN=system:node:{name}", "clientAuth")


def kubeconfig(path, server, ca, user, mode=0o600):
    """user: {"client-certificate": PATH, "client-key": PATH} or {"tokenFile": PATH}"""
    text = json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab", "preferences": {},
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "lab", "user": {k: str(v) for k, v in user.items()}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    }, indent=1)
    path.write_text(text + "\n")
    path.chmod(mode)
