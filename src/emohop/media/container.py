"""A media file: opening it safely, its streams, and the frames that decode."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emohop.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer

SAMPLE_RATES_HZ = (1_000, 768_000)  # below it there is no speech; converters record no faster
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


def audio_stream(path: Path, container: InputContainer, track: int | str | None = None) -> Any:
    """An audio stream that there is a decoder for: the first, a number from 1, or of a language.

    None where there is none; MediaError where there are others than the one asked for.
    """
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    if track is None or not streams:
        return streams[0] if streams else None
    languages = [str(stream.metadata.get("language", "und")) for stream in streams]
    if isinstance(track, str) and track in languages:
        return streams[languages.index(track)]
    if isinstance(track, int) and 1 <= track <= len(streams):
        return streams[track - 1]
    there = ", ".join(f"{number} ({each})" for number, each in enumerate(languages, 1))
    raise MediaError(f"{path}: has no audio track {track}: there are {there}")


def video_stream(container: InputContainer) -> Any:
    """The first video stream that is more than a cover and has a decoder, or None."""
    from av.stream import Disposition

    for stream in container.streams.video:
        cover = stream.disposition & Disposition.attached_pic
        if not cover and stream.codec_context is not None:
            return stream
    return None


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
            if packet.size or packet.pts is None:  # else there was nothing in it
                yield LostPacket(packet.dts if packet.pts is None else packet.pts)
            continue
        yield from frames
