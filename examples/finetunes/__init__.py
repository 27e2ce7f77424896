"""Real fine-tunes of real architectures, small enough to train while you wait: the material of the demo and of the tests.

recipes.py    what is built: one line a model, no torch needed to read it
builder.py    builds what is missing, in order, each model whole or not at all
manifest.py   manifest.json: tasks, frozen depths, metrics before and after
tasks.py      labelled images and passages, from scikit-learn's digits and Python's own documentation
freezing.py   layers in forward order, and freezing the bottom of a network
training.py   seeds, one training loop, held-out metrics
lora.py       adapters and their merged twins, through peft
resnet.py, minilm.py, decoder.py    one family each
"""
