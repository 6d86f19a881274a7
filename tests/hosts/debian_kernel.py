"""Debian's own kernel, unpacked into a cache (never installed), and an initramfs that starts it.

The initramfs does one thing: it mounts the running machine's root file system, read-only over 9p
and with a tmpfs on top, and starts the agent there. So the VM has the machine's programs and this
checkout, at the same paths, with another kernel below them.
"""

import lzma
import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from tests.hosts.debian_packages import CommandError, cache_folder, output, program, unpack

META_PACKAGE = "linux-image-amd64"  # the cloud flavour has no 9p
EARLY_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console")

INIT = """\
#!/bin/busybox sh
set -e
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
for module in {modules}; do insmod /modules/$module; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose root /lower
mount -t tmpfs -o mode=755 tmpfs /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /new
mount -t proc proc /new/proc
mount -t sysfs sys /new/sys
mount --move /dev /new/dev
mkdir -p /new/dev/pts /new/dev/shm /new/dev/net /new/lib/modules
mknod -m 666 /new/dev/net/tun c 10 200  # as udev does before the module is there
ln -s /proc/self/fd /new/dev/fd
ln -s fd/0 /new/dev/stdin
mount -t devpts -o mode=620,ptmxmode=666 devpts /new/dev/pts
mount -t tmpfs -o mode=1777 tmpfs /new/dev/shm
mount -t tmpfs -o mode=755 tmpfs /new/run
mount --bind /new{module_tree} /new/lib/modules
hostname netlab-test
ifconfig lo 127.0.0.1 up
exec switch_root /new {command}
"""


@dataclass(frozen=True)
class Kernel:
    image: Path
    modules: Path  # what /lib/modules must hold
    busybox: Path

    @property
    def release(self) -> str:
        return self.image.name.removeprefix("vmlinuz-")


def _packages() -> list[str]:
    depends = output("apt-cache", "depends", META_PACKAGE)
    image = re.search(r"Depends: (linux-image-\S+)", depends)
    if image is None:
        raise CommandError(f"{META_PACKAGE} names no kernel image: {depends}")
    return [image[1], "busybox-static"]


def _finish(root: Path) -> None:
    for name in ("bin", "lib"):  # since Debian 13 packages hold only usr/bin and usr/lib
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    release = next((root / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
    output(program("depmod"), "-b", str(root), release)


def fetch() -> Kernel:
    """The cached kernel; unpacked first where the cache has none."""
    cache = unpack(cache_folder() / META_PACKAGE, _packages, _finish)
    return Kernel(
        image=next((cache / "boot").glob("vmlinuz-*")),
        modules=cache / "lib/modules",
        busybox=cache / "bin/busybox",
    )


def _load_order(tree: Path, wanted: tuple[str, ...]) -> list[Path]:
    """The files of these modules and of all they need, each after what it needs."""
    needs: dict[str, list[str]] = {}
    by_name: dict[str, str] = {}
    for line in (tree / "modules.dep").read_text().splitlines():
        file, _, rest = line.partition(":")
        needs[file] = rest.split()
        by_name[Path(file).name.split(".")[0].replace("-", "_")] = file
    order: dict[str, None] = {}
    for module in wanted:
        if module in by_name:  # a module that is not there is built in
            file = by_name[module]
            # modules.dep lists the whole closure, the last to be needed first.
            order.update(dict.fromkeys([*reversed(needs[file]), file]))
    return [tree / file for file in order]


def _plain(module: Path) -> bytes:
    """A module without its compression (Debian 13 compresses them), as any insmod takes it."""
    data = module.read_bytes()
    return lzma.decompress(data) if module.suffix == ".xz" else data


def _cpio_entry(number: int, name: str, mode: int, data: bytes = b"") -> bytes:
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def initramfs(kernel: Kernel, command: list[str]) -> bytes:
    """A cpio archive whose /init ends in this command, run on the machine's file system."""
    modules = {
        path.name.removesuffix(".xz"): _plain(path)
        for path in _load_order(kernel.modules / kernel.release, EARLY_MODULES)
    }
    script = INIT.format(
        modules=" ".join(modules),
        module_tree=shlex.quote(str(kernel.modules)),
        command=shlex.join(command),
    )
    files = {"init": script.encode(), "bin/busybox": kernel.busybox.read_bytes()}
    files |= {f"modules/{name}": data for name, data in modules.items()}
    folders = ("bin", "dev", "lower", "modules", "new", "upper")
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in folders]
    entries += [(name, stat.S_IFREG | 0o755, data) for name, data in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    return b"".join(_cpio_entry(n, *entry) for n, entry in enumerate(entries, start=1))
