/** A folder that a person dropped or picked, as a flat list of files that know their path. */
import { KnownError } from '../../../formats/errors';

/** More files than any model has; a home folder dropped by mistake ends here. */
const MOST_FILES = 2000;

export interface GivenFolder {
  name: string;
  files: File[];
}

/** What cannot be a folder of a model. */
export class FolderError extends KnownError {
  override readonly name = 'FolderError';
  readonly errorCode = 'bad-input';
}

/** Files of a directory input: the browser says where each lies. @throws FolderError */
export function pickedFolder(list: Iterable<File>): GivenFolder {
  const files = [...list];
  const [first] = files;
  if (!first) throw new FolderError('The folder is empty.');
  if (files.length > MOST_FILES) throw tooMany();
  const name = first.webkitRelativePath.split('/')[0] || first.name;
  return { name, files: files.map((file) => at(file.webkitRelativePath || file.name, file)) };
}

/** A dropped folder, or several dropped files. @throws FolderError */
export async function droppedFolder(transfer: DataTransfer): Promise<GivenFolder> {
  const entries = [...transfer.items]
    .map((item) => item.webkitGetAsEntry())
    .filter((entry) => entry !== null);
  if (entries.length === 0) throw new FolderError('Drop a folder with a model in it.');
  const files: File[] = [];
  for (const entry of entries) await collect(entry, files);
  if (files.length === 0) throw new FolderError('The folder is empty.');
  const [only] = entries;
  const name = entries.length === 1 && only?.isDirectory ? only.name : 'dropped files';
  return { name, files };
}

async function collect(entry: FileSystemEntry, files: File[]): Promise<void> {
  if (files.length > MOST_FILES) throw tooMany();
  if (entry.isFile) {
    const one = entry as FileSystemFileEntry;
    const file = await new Promise<File>((resolve, reject) => one.file(resolve, reject));
    files.push(at(entry.fullPath.replace(/^\//, ''), file));
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // A reader hands over a folder in parts, an empty one last.
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (part.length === 0) return;
    for (const inner of part) await collect(inner, files);
  }
}

/** Workers get files without their place in the folder, so it goes into the name. No bytes move. */
function at(path: string, file: File): File {
  return new File([file], path, { lastModified: file.lastModified });
}

function tooMany(): FolderError {
  return new FolderError(`That is more than ${MOST_FILES} files. Choose the model's own folder.`);
}
