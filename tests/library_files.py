"""Libraries of DJ programs and players, as these write them, made for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr


def rekordbox(path: Path, tracks: Iterable[Mapping[str, str]], order: Sequence[int] = (0,)) -> Path:
    """Attributes of each TRACK, such as Location, Name, Tonality; ``order`` is a playlist."""
    lines = [
        f'    <TRACK TrackID="{i}" {" ".join(f"{k}={quoteattr(v)}" for k, v in track.items())}>\n'
        '      <TEMPO Inizio="0.025" Bpm="128.00" Metro="4/4" Battito="1"/>\n'
        '      <POSITION_MARK Name="" Type="0" Start="0.025" Num="-1"/>\n    </TRACK>'
        for i, track in enumerate(tracks)
    ]
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n\n<DJ_PLAYLISTS Version="1.0.0">\n'
        '  <PRODUCT Name="rekordbox" Version="6.6.4" Company="AlphaTheta"/>\n'
        f'  <COLLECTION Entries="{len(lines)}">\n' + "\n".join(lines) + "\n  </COLLECTION>\n"
        '  <PLAYLISTS>\n    <NODE Type="0" Name="ROOT" Count="1">\n'
        '      <NODE Name="set" Type="1" KeyType="0" Entries="1">'
        + "".join(f'<TRACK Key="{i}"/>' for i in order)
        + "</NODE>\n"
        "    </NODE>\n  </PLAYLISTS>\n</DJ_PLAYLISTS>\n"
    )
    path.write_text(text, encoding="utf-8")
    return path


def traktor(path: Path, tracks: Iterable[Mapping[str, str]], order: Sequence[int] = ()) -> Path:
    """VOLUME, DIR, FILE, TITLE, and KEY and VALUE where they are to be, of each ENTRY."""
    entries, names = [], []
    for track in tracks:
        place = " ".join(f"{k}={quoteattr(track.get(k, ''))}" for k in ("DIR", "FILE", "VOLUME"))
        key = f" KEY={quoteattr(track['KEY'])}" if "KEY" in track else ""
        value = track.get("VALUE")
        names.append("".join(track.get(k, "") for k in ("VOLUME", "DIR", "FILE")))
        entries.append(
            f'<ENTRY TITLE={quoteattr(track.get("TITLE", ""))} ARTIST="Somebody">'
            f'<LOCATION {place} VOLUMEID="x"></LOCATION>\n'
            f'<ALBUM TITLE="Album"></ALBUM>\n<INFO BITRATE="320000"{key} PLAYTIME="60"></INFO>\n'
            '<TEMPO BPM="128.000000" BPM_QUALITY="100.000000"></TEMPO>\n'
            + (f'<MUSICAL_KEY VALUE="{value}"></MUSICAL_KEY>\n' if value else "")
            + '<CUE_V2 NAME="AutoGrid" TYPE="4" START="52.6" LEN="0.0" HOTCUE="-1"></CUE_V2>\n'
            "</ENTRY>\n"
        )
    text = (
        '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n<NML VERSION="19">'
        '<HEAD COMPANY="www.native-instruments.com" PROGRAM="Traktor"></HEAD>\n'
        f'<COLLECTION ENTRIES="{len(entries)}">{"".join(entries)}</COLLECTION>\n'
        '<PLAYLISTS><NODE TYPE="FOLDER" NAME="$ROOT"><SUBNODES COUNT="1">'
        '<NODE TYPE="PLAYLIST" NAME="set"><PLAYLIST ENTRIES="1" TYPE="LIST">'
        + "".join(
            f'<ENTRY><PRIMARYKEY TYPE="TRACK" KEY={quoteattr(names[i])}></PRIMARYKEY></ENTRY>'
            for i in order
        )
        + "</PLAYLIST>"
        "</NODE></SUBNODES></NODE></PLAYLISTS>\n</NML>\n"
    )
    path.write_text(text, encoding="utf-8")
    return path


def itunes(path: Path, tracks: Iterable[Mapping[str, str]], order: Sequence[int] = (0,)) -> Path:
    """Strings of each track, such as Location and Name; ``order`` is a playlist."""
    entries = []
    for i, track in enumerate(tracks, 100):
        fields = "".join(f"<key>{k}</key><string>{escape(v)}</string>\n" for k, v in track.items())
        number = f"<key>Track ID</key><integer>{i}</integer>\n"
        entries.append(f"<key>{i}</key>\n<dict>\n{number}{fields}</dict>\n")
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC '
        '"-//Apple Computer//DTD PLIST 1.0//EN" '
        '"http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n<plist version="1.0">\n<dict>\n'
        "<key>Major Version</key><integer>1</integer>\n"
        "<key>Music Folder</key><string>file://localhost/Users/dj/Music/</string>\n"
        "<key>Tracks</key>\n<dict>\n" + "".join(entries) + "</dict>\n<key>Playlists</key>\n"
        "<array>\n<dict><key>Name</key><string>Library</string><key>Playlist Items</key>\n"
        "<array>"
        + "".join(f"<dict><key>Track ID</key><integer>{100 + i}</integer></dict>" for i in order)
        + "</array></dict>\n</array>\n</dict>\n</plist>\n"
    )
    path.write_text(text, encoding="utf-8")
    return path
