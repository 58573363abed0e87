"""A media file: what its header says, opening it safely, and the frames that decode."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emohop.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer

SAMPLE_RATES_HZ = (1_000, 768_000)  # below it there is no speech; converters record no faster
UNKNOWN_FRAMES = 2**62  # libsndfile's count for a stream without a length is not below it
UNKNOWN_BYTES = 0x7FFF_0000
RIFF_TOLERANCE_BYTES = 1024  # writers disagree about padding
MAX_SIDE_PIXELS = 8192
SLOWEST_FRAMES_PER_SECOND = 0.1  # below this a header makes hours out of some frames
MAX_SECONDS = 3600  # of one span: 700 MB of samples at 48 kHz
MAX_TIME_SECONDS = 10**8  # no time stamp that is asked for lies later

# Self-contained containers only: playlists and scripts (hls, dash, concat, image2, sdp, lavfi)
# make FFmpeg open other files and addresses.
CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dv,eac3,flac,flv,ivf,m4a,matroska,mov,mp3,mp4,mpeg,mpegts,"
    "mxf,nistsphere,nut,ogg,rm,tta,w64,wav,webm,wv,xwma"
)

INDEXED = ("avi", "mov", "mp4", "matroska", "webm")  # elsewhere time stamps shift after a seek


@dataclass(frozen=True, slots=True)
class Media:
    """What the header says. Facts about a stream that is not there are None.

    `duration` is the whole file's and `video_duration` the video stream's, in seconds. Width and
    height are those of the stored frame, before any rotation. `truncated` is only ever known of
    RIFF files (AVI, WAV).
    """

    duration: float
    has_audio: bool
    sample_rate: int | None = None
    width: int | None = None
    height: int | None = None
    frames_per_second: float | None = None
    video_duration: float | None = None
    truncated: bool = False


def probe(path: Path) -> Media:
    """The facts of a file's header; packets are counted only where the header has no length.

    Raises:
        MediaError: the file is missing, empty, or no audio or video file.
    """
    import av

    check_file(path)
    with audio_file(path) as file:
        if file is not None and file.frames < UNKNOWN_FRAMES:
            seconds = file.frames / check_rate(path, file.samplerate)
            return Media(seconds, True, file.samplerate, truncated=is_cut(path))
    with open_media(path) as container:
        audio, video = audio_stream(container), video_stream(container)
        if audio is None and video is None:
            raise MediaError(f"{path}: holds neither audio nor video that can be decoded")
        duration = None if container.duration is None else container.duration / av.time_base
        media: dict[str, Any] = {"has_audio": audio is not None, "truncated": is_cut(path)}
        if audio is not None:
            media["sample_rate"] = check_rate(path, audio.rate)
        if video is not None:
            check_side(path, video.width, video.height)
            rate = check_pace(path, video)
            length = (
                _demuxed_seconds(container, video)
                if video.duration is None
                else float(video.duration * video.time_base)
            )
            media |= {"width": video.width, "height": video.height, "video_duration": length}
            media["frames_per_second"] = rate
            duration = length if duration is None else duration
        if duration is None:
            duration = _demuxed_seconds(container, audio)
        return Media(duration=max(duration, 0.0), **media)


@contextmanager
def audio_file(path: Path) -> Iterator[Any]:
    """The `soundfile.SoundFile` of a path, or None for what libsndfile does not read.

    It gets a descriptor and not the name, because it would believe the name's ending, and no MPEG
    audio, because its decoder of that writes to the terminal. FFmpeg reads both.
    """
    import soundfile

    with path.open("rb", buffering=0) as file:
        head = file.read(3)
        file.seek(0)
        mpeg = head == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")
        try:
            audio = None if mpeg else soundfile.SoundFile(file.fileno(), closefd=False)
        except soundfile.LibsndfileError:
            audio = None
        with audio or nullcontext():
            yield audio


def open_media(path: Path) -> InputContainer:
    """Open a file of `CONTAINERS` by FFmpeg; anything else is a MediaError."""
    import av

    check_file(path)
    # Titles in another code than UTF-8 must not keep a file closed. In PyAV 18 that has to be
    # asked for; PyAV 19 never refuses them, and does not know the argument.
    refuses_titles = hasattr(av.container.InputContainer, "metadata_errors")
    titles: dict[str, Any] = {"metadata_errors": "replace"} if refuses_titles else {}
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        # `file:` keeps names such as "concat:a" from being taken for a protocol. Opening decodes a
        # frame or two, whatever their size.
        container: InputContainer = av.open(
            f"file:{path.absolute()}",
            options=frame_limit(),
            container_options=options,
            **titles,
        )
        return container
    except (av.FFmpegError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path}: not a readable audio or video file ({reason})") from None


def frame_limit() -> dict[str, str]:
    """What makes FFmpeg's decoders refuse a larger frame before they make room for it."""
    return {"max_pixels": str(MAX_SIDE_PIXELS**2)}


def audio_stream(container: InputContainer) -> Any:
    """The first audio stream that there is a decoder for, or None."""
    return next((s for s in container.streams.audio if s.codec_context is not None), None)


def video_stream(container: InputContainer) -> Any:
    """The first video stream that is more than a cover and has a decoder, or None."""
    from av.stream import Disposition

    for stream in container.streams.video:
        cover = stream.disposition & Disposition.attached_pic
        if not cover and stream.codec_context is not None:
            return stream
    return None


def _demuxed_seconds(container: InputContainer, stream: Any) -> float:
    import av

    first, last = math.inf, -math.inf
    try:
        for packet in container.demux(stream):
            if packet.pts is not None:
                first = min(first, packet.pts)
                last = max(last, packet.pts + (packet.duration or 0))
    except av.FFmpegError:
        pass  # the length is of what can be read
    return float((last - first) * float(stream.time_base)) if last > first else 0.0


def is_cut(path: Path) -> bool:
    """Whether a RIFF file is shorter than the length that its first eight bytes give."""
    with path.open("rb") as file:
        head = file.read(8)
    declared = int.from_bytes(head[4:8], "little") + 8
    if head[:4] != b"RIFF" or declared >= UNKNOWN_BYTES:  # written to a pipe: nobody knew
        return False
    return path.stat().st_size < declared - RIFF_TOLERANCE_BYTES


def check_file(path: Path) -> None:
    """Raise MediaError unless the path is a file that holds something."""
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    if not path.is_file():
        raise MediaError(f"{path}: not a file")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path}: may not be read")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: the file is empty")


def check_rate(where: str | Path, rate: int) -> int:
    """The sample rate in Hz; MediaError, naming `where`, outside `SAMPLE_RATES_HZ`.

    The one limit of every sample rate: of files, of arrays and of streams.
    """
    low, high = SAMPLE_RATES_HZ
    if not low <= rate <= high:
        raise MediaError(f"{where}: a sample rate of {rate} Hz; from {low} to {high} is accepted")
    return rate


def check_side(path: Path, width: int, height: int) -> None:
    """Raise MediaError for a frame that has no pixels or too many."""
    if not (0 < width <= MAX_SIDE_PIXELS and 0 < height <= MAX_SIDE_PIXELS):
        size = f"{width}x{height}" if width or height else "an unknown size, or too large"
        raise MediaError(f"{path}: a frame of {size}; 1 to {MAX_SIDE_PIXELS} a side is accepted")


def check_pace(path: Path, video: Any) -> float | None:
    """The frames per second of a video stream, None where unknown; MediaError for a standstill."""
    rate = video.average_rate or video.guessed_rate
    if not rate:
        return None
    if rate < SLOWEST_FRAMES_PER_SECOND:
        raise MediaError(
            f"{path}: {float(rate):.2g} frames per second; {SLOWEST_FRAMES_PER_SECOND} and more "
            "are accepted"
        )
    return float(rate)


def is_indexed(container: InputContainer) -> bool:
    """Whether a seek lands where it says."""
    return any(name in INDEXED for name in container.format.name.split(","))


@dataclass(frozen=True, slots=True)
class LostPacket:
    """A packet that does not decode; `pts` is the time stamp of what is lost, where known."""

    pts: int | None


def decoded(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The frames of a stream in the order of presentation, and what does not decode as LostPacket.

    A decoder that reorders frames gives the ones before the damage after it.
    """
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:
            yield LostPacket(None)
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            yield LostPacket(packet.dts if packet.pts is None else packet.pts)
            continue
        yield from frames
