"""Files on the command line: looked at before anything is sent, and written only when all of them is right."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from exchange.errors import BadInput, Conflict, VerificationFailed
from exchange.limits import ATTACHMENT_BYTES, ATTACHMENTS, MIB
from nodes.admin.attachments import attach, write_attachment
from nodes.local_file import look_at
from nodes.v1 import attachment_pb2 as pb

DATA = bytes(range(256)) * 8_192


class ANode:
    """Takes files in as the node does; Any: it stands for the generated stub."""

    def __init__(self, meanwhile: Any = None) -> None:
        """`meanwhile` is done after the first part has come."""
        self.came: list[tuple[str, str, bytes]] = []
        self._meanwhile = meanwhile

    def AttachFile(self, requests: Iterator[pb.AttachFileRequest]) -> pb.AttachFileResponse:  # noqa: N802
        """Take one."""
        first, data = next(requests), b""
        for request in requests:
            data += request.data
            if self._meanwhile is not None:
                self._meanwhile()
                self._meanwhile = None
        if len(data) != first.size:
            raise RuntimeError("gRPC would say what the node says")
        self.came.append((first.name, first.media_type, data))
        return pb.AttachFileResponse(id=str(len(self.came)))


def hand(node: ANode, *paths: Path) -> list[str]:
    return attach(node, look_at(paths))  # type: ignore[arg-type]  # stands for the stub


def test_a_file_is_handed_over_whole_under_its_name_with_the_type_that_its_name_says(tmp_path: Path) -> None:
    names = {
        "map.pdf": "application/pdf",
        "photo.JPG": "image/jpeg",
        "notes": "application/octet-stream",
        "old.tar.gz": "application/octet-stream",
        "e\u0301tat.txt": "text/plain",
    }
    for name in names:
        (tmp_path / name).write_bytes(DATA)
    node = ANode()
    assert hand(node, *(tmp_path / name for name in names)) == ["1", "2", "3", "4", "5"]
    assert [came[:2] for came in node.came] == [
        *((name, kind) for name, kind in list(names.items())[:4]),
        ("\u00e9tat.txt", "text/plain"),
    ]
    assert all(came[2] == DATA for came in node.came)


def test_what_cannot_be_attached_is_refused_before_anything_is_handed_over(tmp_path: Path) -> None:
    good, large = tmp_path / "good.txt", tmp_path / "large.bin"
    good.write_bytes(b"x")
    with large.open("wb") as handle:
        handle.truncate(ATTACHMENT_BYTES + 1)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gpj.\u202eexe").write_bytes(b"x")
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "GOOD.txt").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path, said in (
        (tmp_path, "not a file"),
        (tmp_path / "missing", "No such file"),
        (tmp_path / "dangling", "No such file"),
        (tmp_path / "pipe", "not a file"),
        (Path("/dev/zero"), "not a file"),
        (large, "the limit is"),
        (tmp_path / "gpj.\u202eexe", "printable"),
        (tmp_path / ".hidden", "not a file name"),
        (tmp_path / "GOOD.txt", "same name"),
    ):
        node = ANode()
        with pytest.raises(BadInput, match=said):
            hand(node, good, path)
        assert node.came == []
    with pytest.raises(BadInput, match="the limit is"):
        look_at([good] * (ATTACHMENTS + 1))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(0o000)
    with pytest.raises(BadInput, match="Permission denied"):
        look_at([tmp_path / "secret"])


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written to", "is replaced"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(DATA * 2)

    def meanwhile() -> None:
        match change:
            case "grows":
                with path.open("ab") as handle:
                    handle.write(b"more")
            case "shrinks":
                os.truncate(path, MIB)
            case "is written to":
                with path.open("r+b") as handle:
                    handle.write(b"other")
                os.utime(path, ns=(1, 1))
            case "is replaced":
                (tmp_path / "new").write_bytes(b"new")
                os.truncate(path, 2 * MIB)
                (tmp_path / "new").replace(path)

    with pytest.raises(BadInput, match="changes while it is read"):
        hand(ANode(meanwhile), path)


# -- taken back --------------------------------------------------------------------------------------------------------


def responses(*parts: bytes, data: bytes = DATA) -> Iterator[pb.ExportAttachmentResponse]:
    """Yield a file as the node does, in these parts."""
    file = pb.ReportAttachment(name="map.pdf", size=len(data), sha256=sha256(data).hexdigest())
    yield pb.ExportAttachmentResponse(attachment=file, handling_yaml=b"marking: TLP:AMBER\n", marking="TLP:AMBER")
    yield from (pb.ExportAttachmentResponse(data=part) for part in parts)


def test_a_file_gets_its_name_when_all_of_it_is_right_with_its_handling_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "map.pdf"
    assert write_attachment(responses(DATA[:100_000], DATA[100_000:]), out).marking == "TLP:AMBER"
    assert out.read_bytes() == DATA and out.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.pdf", "map.pdf.handling.yaml"]
    with pytest.raises(Conflict):
        write_attachment(responses(DATA), out)
    write_attachment(responses(data=b""), tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize(
    "parts",
    [(), (DATA[:-1],), (DATA, b"x"), (DATA[1:] + DATA[:1],), (DATA[: MIB - 1], DATA[: MIB + 1])],
    ids=["nothing", "cut", "longer", "moved", "twice"],
)
def test_a_file_that_is_not_right_leaves_nothing_behind(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(VerificationFailed):
        write_attachment(responses(*parts), tmp_path / "map.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_cut_off_on_its_way_leaves_nothing_behind(tmp_path: Path) -> None:
    def cut() -> Iterator[pb.ExportAttachmentResponse]:
        yield from responses(DATA[:1000])
        raise ConnectionError("the node is gone")

    with pytest.raises(Exception, match=r"gone|written"):
        write_attachment(cut(), tmp_path / "map.pdf")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(VerificationFailed):
        write_attachment(iter(()), tmp_path / "map.pdf")
    assert list(tmp_path.iterdir()) == []
