"""The .npy folder that the programs of 2018 and 2019 read, in and out.

    train_audio_mfcc.npy     float [clips, steps, 120]    (2018: [clips, 750, 39])
    train_audio_seqN.npy     int [clips]                  (2018: train_seqN.npy)
    train_audio_prosody.npy  float [clips, 35]
    train_nlp_trans.npy      int [clips, words]           word numbers, 0 behind the last
    train_video.npy          float [clips, frames, 2048]  (2018: none)
    train_video_seqN.npy     int [clips]
    train_label.npy          int [clips]                  0..classes-1
    dic.pkl                  pickled dict: word -> number, _PAD_ 0, _UNK_ 1
    W_embedding.npy          float [words, size]

and dev and test likewise. See docs/release-arrays.md.
"""

from emohop.release_arrays.reading import Imported, import_arrays
from emohop.release_arrays.writing import Exported, export_arrays

__all__ = ["Exported", "Imported", "export_arrays", "import_arrays"]
