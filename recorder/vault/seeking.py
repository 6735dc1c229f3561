"""A file of a known size that is read from any place. What it is made of is its subclass's own."""

import io


class SeekingFile(io.RawIOBase):
    """`size`: its bytes; `at`: the place of the next read. `readinto` is the subclass's."""

    def __init__(self, size: int = 0) -> None:
        super().__init__()
        self.size = size
        self.at = 0

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def seekable(self) -> bool:
        """It has every byte at hand."""
        return True

    def tell(self) -> int:
        """The place of the next read."""
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place. Nothing is read. Raises `ValueError` before the beginning."""
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        if at < 0:
            raise ValueError(f"{at} is before the beginning")
        self.at = at
        return at
