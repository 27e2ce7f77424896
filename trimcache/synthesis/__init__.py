"""Realistic catalogs: true architectures, documented ways of fine-tuning, popularity; nothing trained, nothing downloaded.

    architectures.json   tensor names, shapes and dtypes of published models (made by tools/build_architectures.py)
    architectures        reads it; an architecture becomes a list of tensors at any number of labels and tokens
    safetensors_files    the header that the format requires, the order of tensors, the rule for splitting into files
    gguf_files           quantized files at their true sizes
    adapters             LoRA adapter folders as peft writes them
    layouts              all files of one part as extents and tensors
    regimes              what a fine-tune leaves as it was, as the set of tensors that it writes
    lineage              who came from whom: the forest that regimes are applied in
    popularity           how often each model is asked for
    presets              whole libraries; every number with its source or the word "assumption"
    generate             a forest becomes a catalog on disk
    fit, sample, goodness    the same for a library that was scanned: --like

A block is named by who wrote it: ``digest = H(seed, writer) xor H(tensor, encoding, size)``. Two models hold an equal block exactly
when both inherited it from one writer, in one encoding.
"""
