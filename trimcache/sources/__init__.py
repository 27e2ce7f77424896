"""Where models are: resolving what a user names into parts, without reading a weight.

resolve      what a user names -> PartSpec
hf_cache     revisions in a Hugging Face cache; hf_layout recognises its folders
folders      which folders and files are one part
walk         listing a folder tree, and which links may be followed
composed     models whose components lie in sub-folders
copies       which of several copies of the same weights a part holds; weights classifies one file
describe     what a folder says of itself
"""
