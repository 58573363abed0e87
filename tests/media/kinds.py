"""Media files of every kind that people have, each made here, with what is to be read in them.

The signal is a second of silence and two of a tone, so that its length is 3 s and its first sound
comes at 1 s; frames say their own number.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.media.making import numbered

SILENT, LOUD = 1.0, 2.0
"""Seconds of the signal."""
WHOLE = SILENT + LOUD
FRAMES_PER_SECOND = 25
Make = Callable[[Path], None]


@dataclass(frozen=True)
class Kind:
    """A kind of file; times are in seconds, None for what is not there."""

    name: str
    make: Make
    length: float = WHOLE
    sound: float | None = SILENT
    """When the first sound comes."""
    frame: float | None = None
    """When the first frame comes."""
    note: str = ""
    """In what is said when it is repaired; "" where nothing is."""
    error: str = ""
    """Why it cannot be read at all."""
    strict: str = ""
    """Why it cannot be read unless it is repaired."""


def signal(rate: int = 16_000) -> NDArray[np.float32]:
    """The signal, [samples]."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(LOUD * rate)) / rate)
    return np.concatenate([np.zeros(round(SILENT * rate)), tone]).astype(np.float32)


def write(
    path: Path,
    audio: str | None = None,
    video: str | None = None,
    *,
    rate: int = 16_000,
    channels: NDArray[np.float32] | None = None,
    layout: str = "mono",
    audio_at: float = 0.0,
    video_at: float = 0.0,
    gap: float = 0.0,
    tracks: tuple[str, ...] = ("und",),
    format: str | None = None,
    options: dict[str, str] | None = None,
    size: tuple[int, int] | None = None,
    every: Fraction = Fraction(FRAMES_PER_SECOND),
) -> None:
    """Encode the signal and frames; `gap` seconds are left out in the middle of the tone."""
    for codec in (audio, video):
        if codec is not None and codec not in av.codecs_available:
            pytest.skip(f"this PyAV has no {codec}")
    with av.open(str(path), "w", format=format, options=options or {}) as out:
        sounds: list[Any] = []
        for language in tracks if audio is not None else ():
            stream: Any = out.add_stream(audio, rate=rate, layout=layout)
            stream.metadata["language"] = language
            stream.bit_rate = 64_000 if audio != "libopencore_amrnb" else 12_200
            sounds.append(stream)
        screen: Any = None
        if video is not None:
            screen = out.add_stream(video, rate=every)
            screen.pix_fmt = "yuvj420p" if video == "mjpeg" else "yuv420p"
            screen.codec_context.gop_size = 12
            if size is not None:
                screen.width, screen.height = size
            else:
                screen.width, screen.height = numbered(0).shape[1::-1]
        packets: list[Any] = []
        if screen is not None:
            packets += _pictures(screen, video_at, every, size)
        for number, stream in enumerate(sounds):
            samples = signal(rate)[None] if channels is None else channels
            packets += _sounds(stream, samples * (1 - 0.5 * number), rate, layout, audio_at, gap)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)


def _pictures(stream: Any, at: float, every: Fraction, size: tuple[int, int] | None) -> list[Any]:
    packets = []
    for k in range(round(WHOLE * every)):
        image = numbered(k) if size is None else np.full((size[1], size[0], 3), 90, np.uint8)
        frame: Any = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.time_base = 1 / every
        frame.pts = k + round(at * every)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    return packets


def _sounds(
    stream: Any, samples: NDArray[np.float32], rate: int, layout: str, at: float, gap: float
) -> list[Any]:
    packets = []
    resampler = av.AudioResampler(stream.format, layout, rate, frame_size=stream.frame_size or 1024)
    middle = round((SILENT + LOUD / 2) * rate)
    pieces = [(0, samples)] if not gap else [(0, samples[:, :middle])]
    if gap:
        pieces.append((middle + round(gap * rate), samples[:, middle:]))
    for first, piece in pieces:
        frame: Any = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(piece), format="fltp", layout=layout
        )
        frame.sample_rate, frame.pts = rate, first + round(at * rate)
        frame.time_base = Fraction(1, rate)
        for ready in resampler.resample(frame):
            packets += stream.encode(ready)
    for ready in resampler.resample(None):
        packets += stream.encode(ready)
    packets += stream.encode(None)
    return packets


def by_soundfile(subtype: str, format: str | None = None, rate: int = 16_000) -> Make:
    """The signal by libsndfile."""
    return lambda path: soundfile.write(path, signal(rate), rate, subtype, format=format)


def by_ffmpeg(*codecs: str | None, **options: Any) -> Make:
    """The signal, and frames if there is a second codec, by FFmpeg."""
    return lambda path: write(path, *codecs, **options)


def changed(make: Make, change: Callable[[bytes], bytes]) -> Make:
    """A file whose bytes are changed afterwards."""

    def made(path: Path) -> None:
        make(path)
        path.write_bytes(change(path.read_bytes()))

    return made


def joined(*makes: Make) -> Make:
    """Files behind each other."""

    def made(path: Path) -> None:
        data = b""
        for make in makes:
            make(path)
            data += path.read_bytes()
        path.write_bytes(data)

    return made


def holding(data: bytes) -> Make:
    """A file of these bytes."""

    def made(path: Path) -> None:
        path.write_bytes(data)

    return made


def data_size(size: int) -> Callable[[bytes], bytes]:
    """Another size of a WAV's data chunk."""

    def change(data: bytes) -> bytes:
        at = data.index(b"data") + 4
        return data[:at] + struct.pack("<I", size) + data[at + 4 :]

    return change


def riff_size(size: int) -> Callable[[bytes], bytes]:
    """Another size of the whole."""
    return lambda data: data[:4] + struct.pack("<I", size) + data[8:]


def part(share: float) -> Callable[[bytes], bytes]:
    """The first share of a file."""
    return lambda data: data[: round(share * len(data))]


def hole(first: float, last: float, with_: int = 0xFF) -> Callable[[bytes], bytes]:
    """Bytes that are something else from one share of a file to another."""

    def change(data: bytes) -> bytes:
        a, b = round(first * len(data)), round(last * len(data))
        noise = np.random.default_rng(with_).integers(0, 255, b - a, np.uint8).tobytes()
        return data[:a] + noise + data[b:]

    return change


def without_length(data: bytes) -> bytes:
    """A FLAC as it comes through a pipe: no number of samples in its header."""
    at = 8 + 13  # behind fLaC, the head of the block, sizes and the rate
    return data[:at] + bytes([data[at] & 0xF0]) + b"\0\0\0\0" + data[at + 5 :]


def surround(rate: int = 16_000) -> NDArray[np.float32]:
    """5.1 with the signal in its centre alone."""
    silent = np.zeros_like(signal(rate))
    return np.stack([silent, silent, signal(rate), silent, silent, silent])


def opposite() -> NDArray[np.float32]:
    """Two channels that cancel each other out."""
    return np.stack([signal(), -signal()])


mp3 = by_ffmpeg("libmp3lame", rate=44_100)
plain_mp3 = by_ffmpeg("libmp3lame", rate=44_100, options={"write_xing": "0", "id3v2_version": "0"})
wav = by_soundfile("PCM_16")
flac = by_soundfile("PCM_16", "FLAC")
vorbis = by_soundfile("VORBIS", "OGG")
transport = by_ffmpeg("mp2", "mpeg2video", rate=48_000)
WIDE = {"options": {"movflags": "faststart"}}

KINDS: tuple[Kind, ...] = (
    # audio as it should be
    Kind("pcm16.wav", wav),
    Kind("pcm24.wav", by_soundfile("PCM_24")),
    Kind("pcm8.wav", by_soundfile("PCM_U8")),
    Kind("float.wav", by_soundfile("FLOAT")),
    Kind("double.wav", by_soundfile("DOUBLE")),
    Kind("mulaw.wav", by_soundfile("ULAW", rate=8_000)),
    Kind("alaw.wav", by_soundfile("ALAW", rate=8_000)),
    Kind("ms-adpcm.wav", by_soundfile("MS_ADPCM")),
    Kind("ima-adpcm.wav", by_soundfile("IMA_ADPCM")),
    Kind("gsm.wav", by_soundfile("GSM610", rate=8_000)),
    Kind("extensible.wav", by_soundfile("PCM_16", "WAVEX")),
    Kind("rf64.wav", by_soundfile("PCM_16", "RF64")),
    Kind("sony.w64", by_soundfile("PCM_16", "W64")),
    Kind("apple.aiff", by_soundfile("PCM_16", "AIFF")),
    Kind("sun.au", by_soundfile("PCM_16", "AU")),
    Kind("apple.caf", by_soundfile("PCM_16", "CAF")),
    Kind("sphere.sph", by_soundfile("PCM_16", "NIST")),
    Kind("plain.flac", flac),
    Kind("vorbis.ogg", by_soundfile("VORBIS", "OGG")),
    Kind("opus.opus", by_ffmpeg("libopus", rate=48_000)),
    Kind("flac.oga", by_ffmpeg("flac", format="ogg")),
    Kind("xing.mp3", mp3),
    Kind("no-xing.mp3", plain_mp3),
    Kind("8khz.mp3", by_ffmpeg("libmp3lame", rate=8_000)),
    Kind("mpeg.mp2", by_ffmpeg("mp2", rate=48_000, format="mp2")),
    Kind("stream.aac", by_ffmpeg("aac", format="adts")),
    Kind("itunes.m4a", by_ffmpeg("aac", format="ipod")),
    Kind("lossless.m4a", by_ffmpeg("alac", format="ipod")),
    Kind("pcm.mov", by_ffmpeg("pcm_s16le")),
    Kind("aac.mka", by_ffmpeg("aac", format="matroska")),
    Kind("flac.mka", by_ffmpeg("flac", format="matroska")),
    Kind("voice.webm", by_ffmpeg("libopus", rate=48_000)),
    Kind("phone.amr", by_ffmpeg("libopencore_amrnb", rate=8_000)),
    Kind("dolby.ac3", by_ffmpeg("ac3", rate=48_000)),
    Kind("dolby.eac3", by_ffmpeg("eac3", rate=48_000, format="eac3")),
    Kind("windows.wma", by_ffmpeg("wmav2", rate=44_100, format="asf")),
    Kind("true.tta", by_ffmpeg("tta")),
    Kind("pack.wv", by_ffmpeg("wavpack")),
    Kind("nut.nut", by_ffmpeg("flac")),
    # video as it should be
    Kind("camera.mp4", by_ffmpeg("aac", "libx264"), frame=0.0),
    Kind("browser.mp4", by_ffmpeg("aac", "libx264",
         options={"movflags": "frag_keyframe+empty_moov"}), frame=0.0),
    Kind("phone.3gp", by_ffmpeg("libopencore_amrnb", "h263", rate=8_000, size=(176, 144)),
         frame=0.0),
    Kind("quicktime.mov", by_ffmpeg("pcm_s16le", "mpeg4"), frame=0.0),
    Kind("film.mkv", by_ffmpeg("flac", "libx264"), frame=0.0),
    Kind("site.webm", by_ffmpeg("libopus", "libvpx-vp9", rate=48_000), frame=0.0),
    Kind("old.avi", by_ffmpeg("libmp3lame", "mpeg4", rate=44_100), frame=0.0),
    Kind("old-pcm.avi", by_ffmpeg("pcm_s16le", "mpeg4"), frame=0.0),
    Kind("flash.flv", by_ffmpeg("libmp3lame", "flv", rate=44_100), frame=0.0),
    Kind("broadcast.ts", transport, frame=0.0),
    Kind("disc.mpg", by_ffmpeg("mp2", "mpeg2video", rate=48_000), frame=0.0),
    Kind("mute.mp4", by_ffmpeg(None, "libx264"), sound=None, frame=0.0),
    # one clock
    Kind("audio-late.mp4", by_ffmpeg("aac", "libx264", audio_at=4.0), 7.0, 5.0, 0.0),
    Kind("audio-late.mkv", by_ffmpeg("flac", "libx264", audio_at=4.0), 7.0, 5.0, 0.0),
    Kind("audio-late.ts", by_ffmpeg("mp2", "mpeg2video", rate=48_000, audio_at=4.0), 7.0, 5.0, 0.0),
    Kind("video-late.mp4", by_ffmpeg("aac", "libx264", video_at=2.0), 5.0, 1.0, 2.0),
    Kind("video-late.mkv", by_ffmpeg("flac", "libx264", video_at=2.0), 5.0, 1.0, 2.0),
    Kind("video-late.ts", by_ffmpeg("mp2", "mpeg2video", rate=48_000, video_at=2.0), 5.0, 1.0, 2.0),
    Kind("both-late.mkv", by_ffmpeg("flac", "libx264", audio_at=5.0, video_at=5.0), 3.0, 1.0, 0.0),
    Kind("late-alone.mka", by_ffmpeg("flac", audio_at=5.0, format="matroska"), 3.0, 1.0),
    Kind("gap.mkv", by_ffmpeg("flac", "libx264", gap=2.0), 5.0, 1.0, 0.0, note="no audio from 2.0"),
    Kind("gap.mka", by_ffmpeg("pcm_s16le", gap=2.0, format="matroska"), 5.0, 1.0,
         note="no audio from 2.0"),
    # lengths that nobody knows, or that are wrong
    Kind("size-0.wav", changed(wav, data_size(0))),
    Kind("size-unknown.wav", changed(changed(wav, data_size(0xFFFFFFFF)), riff_size(0xFFFFFFFF))),
    Kind("size-too-large.wav", changed(wav, data_size(1_000_000)), strict="cut short"),
    Kind("riff-too-large.wav", changed(wav, riff_size(1_000_000))),
    Kind("riff-0.wav", changed(wav, riff_size(0))),
    Kind("cut.wav", changed(wav, part(2 / 3)), 2.0, strict="cut short"),
    Kind("pipe.flac", changed(flac, without_length)),
    Kind("cut.flac", changed(flac, part(0.8)), 2.7, note="damaged audio", strict="damaged audio"),
    Kind("cut.mp3", changed(plain_mp3, part(2 / 3)), 2.0),
    Kind("cut.ts", changed(transport, part(2 / 3)), 2.0, frame=0.0),
    Kind("cut.mp4", changed(by_ffmpeg("aac", "libx264", **WIDE), part(0.8)), 2.6, frame=0.0,
         note="cut short", strict="damaged audio"),
    Kind("cut.avi", changed(by_ffmpeg("pcm_s16le", "mpeg4"), part(2 / 3)), 2.0, frame=0.0,
         strict="cut short"),
    # one bad part
    Kind("joined.mp3", joined(mp3, mp3), 6.0, note="damaged audio at 3.0", strict="damaged audio"),
    Kind("joined-rates.mp3", joined(plain_mp3, by_ffmpeg("libmp3lame", rate=22_050,
         options={"write_xing": "0", "id3v2_version": "0"})), 6.0, note="sample rate changes",
         strict="sample rate changes"),
    Kind("joined.ts", joined(transport, transport), 6.0, frame=0.0),
    Kind("chained.ogg", joined(vorbis, vorbis), 6.0),
    Kind("noise-inside.mp3", changed(plain_mp3, hole(0.4, 0.45)), note="damaged audio",
         strict="damaged audio"),
    Kind("noise-inside.flac", changed(flac, hole(0.6, 0.62)), note="no audio from",
         strict="damaged audio"),
    Kind("noise-inside.aac", changed(by_ffmpeg("aac", format="adts"), hole(0.6, 0.65)),
         note="damaged audio", strict="damaged audio"),
    Kind("noise-inside.wv", changed(by_ffmpeg("wavpack"), hole(0.6, 0.62))),
    Kind("garbage-in-front.mp3", changed(plain_mp3, lambda data: b"\0" * 3000 + data)),
    Kind("garbage-behind.mp3", changed(plain_mp3, lambda data: data + b"TAG" + b" " * 125)),
    # channels and tracks
    Kind("opposite.wav", lambda path: soundfile.write(path, opposite().T, 16_000),
         note="cancel each other out"),
    Kind("opposite.mp3", by_ffmpeg("libmp3lame", rate=16_000, layout="stereo",
         channels=opposite(), options={"joint_stereo": "0"}), note="cancel each other out"),
    Kind("centre.wav", by_ffmpeg("pcm_s16le", layout="5.1", channels=surround())),
    Kind("centre.flac", by_ffmpeg("flac", layout="5.1", channels=surround())),
    Kind("centre.ac3", by_ffmpeg("ac3", rate=48_000, layout="5.1", channels=surround(48_000))),
    Kind("two-tracks.mkv", by_ffmpeg("flac", "libx264", tracks=("eng", "deu")), frame=0.0),
    # video that is none
    Kind("still.mp4", by_ffmpeg("aac", "libx264", every=Fraction(1, 20)), frame=None),
    Kind("wide.mkv", by_ffmpeg("flac", "mjpeg", size=(9000, 16), every=Fraction(1)), frame=None),
    # what is no audio or video
    Kind("text.mp3", holding(b"no audio\n" * 50), error="not a read"),
    Kind("empty.wav", lambda path: path.touch(), error="is empty"),
    Kind("header.wav", changed(wav, lambda data: data[:44]), error="no clip lies between"),
    Kind("zeros.mp4", holding(bytes(5000)), error="not a read"),
)  # fmt: skip
