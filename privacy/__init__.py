"""What is stored about one citizen's number, and its erasure (`hotline privacy`).

find   what is stored about a number, and what forbids to erase it
shown  what the command says, in both languages
erase  the number goes everywhere, its recordings too, and a certificate stays
texts  a number in text files of any size: found, and overwritten in its place
"""
