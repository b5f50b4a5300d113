"""What a team may put on its page of its own: a logo and a stylesheet, and what they may not hold.

The pages' policy already keeps a browser from loading anything from elsewhere; what is refused here
is refused so that its author learns of it at once instead of wondering why it does nothing.
"""

import re

CSS_LIMIT = 50_000
LOGO_LIMIT = 500_000

_REMOTE = re.compile(r"url\(\s*['\"]?\s*(?!['\"]?(data:|/|#))[^)]", re.IGNORECASE)
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


def check_css(css: str) -> str:
    """The stylesheet as it is. Raises ValueError with a sentence where it can't be taken."""
    if len(css) > CSS_LIMIT:
        raise ValueError(f"At most {CSS_LIMIT:,} characters.")
    plain = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    # An escape (CSS Syntax, 4.3.7) can't hide a word from what follows.
    plain = re.sub(r"\\([0-9a-fA-F]{1,6})\s?", _escaped_sign, plain).replace("\\", "")
    if re.search(r"@import|@charset|@namespace", plain, re.IGNORECASE):
        raise ValueError("It can't import other stylesheets.")
    if _REMOTE.search(plain) or "//" in re.sub(r"data:[^)\s]*", "", plain):
        raise ValueError("It can't load anything from other servers; data: addresses work.")
    if "<" in plain:
        raise ValueError("This is a stylesheet: it has no “<”.")
    if plain.count("{") != plain.count("}"):
        raise ValueError("Its braces don't match.")
    return css


def _escaped_sign(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number < 0x110000 else " "


def check_logo(image: bytes) -> str:
    """The image's media type. Raises ValueError with a sentence where it can't be taken."""
    if len(image) > LOGO_LIMIT:
        raise ValueError(f"An image of at most {LOGO_LIMIT // 1000} kB, please.")
    if not (kind := logo_type_of(image)):
        raise ValueError("This is no PNG, JPEG, WebP, GIF or SVG image.")
    return kind


def logo_type_of(image: bytes) -> str:
    """The media type by what the file begins with; empty for what is no image we show."""
    for signature, kind in _SIGNATURES.items():
        if image.startswith(signature):
            return kind
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    head = image[:1000].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if head.startswith((b"<svg", b"<?xml")) and b"<svg" in head:
        return "image/svg+xml"
    return ""
