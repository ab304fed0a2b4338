/** Files from a drop, a choice or a folder, with their paths. */

export interface Found {
  path: string;
  file: File;
}

// In folders only these are music; a file given by itself is always tried.
const SUFFIXES = new Set(
  ("mp3 flac wav wave ogg oga opus m4a mp4 m4b aac aif aiff aifc wma webm mka mkv mov wv ape mpc " +
    "caf au snd mp2 3gp").split(" "),
);

/** Whether a file in a folder is to be heard. */
function isMusic(name: string): boolean {
  const suffix = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  return !name.startsWith(".") && SUFFIXES.has(suffix);
}

/** What an input of files holds; `webkitRelativePath` is there for a folder. */
export function chosen(files: Iterable<File>): Found[] {
  return [...files]
    .map((file) => ({ path: file.webkitRelativePath || file.name, file }))
    .filter(({ path, file }) => path === file.name || isMusic(file.name))
    .sort(byPath);
}

/** What was dropped, folders searched. To be called in the event, before anything is awaited. */
export async function dropped(data: DataTransfer): Promise<Found[]> {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.() ?? null);
  const plain = [...data.files];
  if (!entries.some((entry) => entry !== null)) return chosen(plain);
  const found: Found[] = [];
  for (const entry of entries) if (entry) await search(entry, found, true);
  return found.sort(byPath);
}

async function search(entry: FileSystemEntry, found: Found[], given: boolean): Promise<void> {
  const path = entry.fullPath.replace(/^\//, "");
  if (entry.isFile) {
    if (!given && !isMusic(entry.name)) return;
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    ).catch(() => null);
    if (file) found.push({ path, file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // It gives a hundred at a time, and none at the end.
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    ).catch(() => []);
    if (!part.length) return;
    for (const inside of part) await search(inside, found, false);
  }
}

function byPath(one: Found, other: Found): number {
  return one.path.localeCompare(other.path, undefined, { numeric: true });
}
