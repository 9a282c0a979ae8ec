"""Find what a failed copy leaves of a JPEG: a sound header and end, and a block of zeros between them."""

# Pictures compress to noise; so many zeros in a row are a lost block, padding of the header, or one flat colour.
_ZEROS = bytes(64)


def has_hole(data: bytes) -> bool:
    """Return whether a block of zeros has replaced a part of the pixels of a JPEG.

    The search takes about a microsecond; only a file with such a block is decoded, to see whether it belongs there.
    """
    if _ZEROS not in data:
        return False
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(data)
    except ValueError as error:  # libjpeg goes on behind the damage, but says so
        return "Corrupt JPEG data" in str(error)
    return False
