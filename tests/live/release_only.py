"""Takes all pockets but `release` out of the root recipes of a project, and archives that have none then."""
import pathlib, re, sys

def blocks(lines, indent):
    """Divides lines into blocks that begin with a key at this depth; comments go with what follows."""
    found = []
    for line in lines:
        if re.match(rf"^ {{{indent}}}[\w-]+:", line) or not found:
            found.append([line])
        else:
            found[-1].append(line)
    return found

def release_only(archive):
    text = "\n".join(archive)
    if "\n    pockets:" not in text:
        return archive
    head, rest = archive[: archive.index("    pockets:") + 1], archive[archive.index("    pockets:") + 1 :]
    inside = [line for line in rest if not line.strip() or line.startswith("      ")]
    kept = [block for block in blocks(inside, 6) if re.match(r"^      release:", block[0])]
    return head + [line for block in kept for line in block] if kept else []

for name in sys.argv[1:]:
    path = pathlib.Path(name)
    lines = path.read_text().split("\n")
    first = lines.index("archives:")
    last = next(i for i in range(first + 1, len(lines)) if lines[i] and not lines[i].startswith((" ", "#")))
    section = [line for line in lines[first + 1 : last] if not line.strip().startswith("#")]
    kept = [line for block in blocks(section, 2) for line in release_only(block)]
    path.write_text("\n".join(lines[: first + 1] + kept + [""] + lines[last:]))
