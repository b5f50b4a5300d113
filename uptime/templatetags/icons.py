"""The drawings of the pages, on a grid of 24 by 24, one stroke wide.

Each state has a silhouette of its own (a circle, a triangle, an octagon), so that states can be
told apart without colour.
"""

_RING = '<circle cx="12" cy="12" r="9"/>'
_TICKED = _RING + '<path d="m8 12.5 2.8 2.8L16 9.5"/>'
_TRIANGLE = '<path d="M12 3.5 2.5 20h19z"/><path d="M12 10v4.5M12 17.2v.1"/>'
_OCTAGON = '<path d="M8.2 3h7.6L21 8.2v7.6L15.8 21H8.2L3 15.8V8.2z"/><path d="m9 9 6 6m0-6-6 6"/>'
_PLANE = '<path d="M21 3 10 14M21 3l-7 18-4-7-7-4z"/>'

STATES = {
    "up": _TICKED,
    "degraded": _TRIANGLE,
    "down": _OCTAGON,
    "recovering": '<path d="M8.2 3h7.6L21 8.2v7.6L15.8 21H8.2L3 15.8V8.2z"/>'
    '<path d="M12 16.5v-9m-3.5 3.5L12 7.5l3.5 3.5"/>',
    "flapping": '<path d="M3 12h3l2.5-7 4 14 3-10.5 1.5 3.5h4"/>',
    "pending": (
        '<circle cx="12" cy="12" r="9" stroke-dasharray="3.2 3.9"/><path d="M12 8v4l2.5 2"/>'
    ),
    "paused": _RING + '<path d="M10 9v6M14 9v6"/>',
    "maintenance": (
        '<path d="M14.6 6.3a1 1 0 0 0 0 1.4l1.7 1.7a1 1 0 0 0 1.4 0l3.7-3.7a6 6 0 0 1-7.9'
        ' 7.9L6.6 20.5a2.1 2.1 0 0 1-3-3l6.9-6.9a6 6 0 0 1 7.9-7.9z"/>'
    ),
    "unknown": _RING + '<path d="M9.5 9.3a2.6 2.6 0 1 1 3.5 2.7c-.7.3-1 .8-1 1.5M12 16.8v.1"/>',
    "open": _RING + '<path d="M12 7.5V13M12 16.3v.1"/>',
    "acknowledged": (
        '<path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z"/>'
        '<circle cx="12" cy="12" r="2.5"/>'
    ),
    "resolved": _TICKED,
    "snooze": (
        '<path d="M6 9.5a6 6 0 0 1 12 0c0 5 2 6.5 2 6.5H4s2-1.5 2-6.5M10 20h4M10 9h4l-4 4h4"/>'
    ),
    "queued": _RING + '<path d="M12 7v5l3 2"/>',
    "sending": _PLANE,
    "sent": _TICKED,
    "failed": _TRIANGLE,
    "dead": _OCTAGON,
    "dropped": _RING + '<path d="M8 12h8"/>',
    "success": _TICKED,
    "start": _RING + '<path d="m10 8.5 5.5 3.5-5.5 3.5z"/>',
    "fail": _OCTAGON,
    "log": '<path d="M6 3h9l4 4v14H6z"/><path d="M9.5 12h6M9.5 16h6"/>',
}

ICONS = {
    **STATES,
    "monitors": '<path d="M2.5 12h4l3-8 5 16 3-8h4"/>',
    "incidents": _TRIANGLE,
    "alerts": (
        '<path d="M18 9a6 6 0 1 0-12 0c0 6-2.5 7-2.5 7h17S18 15 18 9"/>'
        '<path d="M10 20a2.2 2.2 0 0 0 4 0"/>'
    ),
    "status-pages": (
        '<rect x="3" y="4" width="18" height="16" rx="2.5"/><path d="M3 9h18M7.5 13v3.5M12 13v3.5'
        'M16.5 13v3.5"/>'
    ),
    "up-arrow": '<path d="M12 19V5M6 11l6-6 6 6"/>',
    "down-arrow": '<path d="M12 5v14M6 13l6 6 6-6"/>',
    "profile": '<circle cx="12" cy="8" r="4"/><path d="M4 21c0-4 3.5-6.5 8-6.5s8 2.5 8 6.5"/>',
    "add": '<path d="M12 5v14M5 12h14"/>',
    "search": '<circle cx="11" cy="11" r="6.5"/><path d="m16 16 4.5 4.5"/>',
    "check": '<path d="M20 11.5A8 8 0 1 0 18 17.3M20 5.5v6h-6"/>',
    "pause": '<path d="M8.5 5v14M15.5 5v14"/>',
    "resume": '<path d="m7 4.5 12 7.5-12 7.5z"/>',
    "edit": '<path d="M4 20h4L19.5 8.5l-4-4L4 16z"/>',
    "delete": '<path d="M4 6.5h16M9 6.5V4h6v2.5M6.5 6.5l1 13.5h9l1-13.5"/>',
    "copy": (
        '<rect x="8.5" y="8.5" width="12" height="12" rx="2"/>'
        '<path d="M15.5 5.5a2 2 0 0 0-2-2h-8a2 2 0 0 0-2 2v8a2 2 0 0 0 2 2"/>'
    ),
    "theme": _RING + '<path d="M12 3a9 9 0 0 1 0 18z" fill="currentColor"/>',
    "key": '<circle cx="8" cy="15" r="4.5"/><path d="m11.5 11.5 8.5-8.5M16.5 6.5l3 3M14 9l2 2"/>',
    "next": '<path d="m9 5 7 7-7 7"/>',
    "remove": '<path d="m6 6 12 12M18 6 6 18"/>',
    "note": '<path d="M4 4.5h16v12H9.5L4 20.5z"/>',
    "send": _PLANE,
}
