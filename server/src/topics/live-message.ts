import type { Entry, LiveMessage } from './log.ts';

/**
 * Reads what the append script, the delete script and presence publish on a topic's live channel:
 *
 *     e\n<before>\n<position> <tail>\n…\n=<state JSON>\n@<owner JSON>\n!    appended; `=`, `@` and `!` (closed) only
 *                                                                       where they are
 *     d                                                                 deleted
 *     p\n<JSON {joined, left}>                                          presence
 *
 * Tails, states and owners are JSON, which holds no raw line feed; an owner of nobody is empty. `null`: not a message of this form.
 */
export function parseLiveMessage(text: string): LiveMessage | null {
  if (text === 'd') return { kind: 'deleted' };
  if (text.startsWith('p\n')) return { kind: 'presence', change: text.slice(2) };
  if (!text.startsWith('e\n')) return null;
  const lines = text.split('\n');
  const before = lines[1];
  if (before === undefined) return null;
  const entries: Entry[] = [];
  let state: string | undefined;
  let owner: string | null | undefined;
  let closed = false;
  for (let at = 2; at < lines.length; at += 1) {
    const line = lines[at] as string;
    if (line.startsWith('=')) state = line.slice(1);
    else if (line.startsWith('@')) owner = ownerFrom(line.slice(1));
    else if (line === '!') closed = true;
    else {
      const space = line.indexOf(' ');
      if (space === -1) return null;
      entries.push({ position: line.slice(0, space), tail: line.slice(space + 1) });
    }
  }
  return { kind: 'appended', before, entries, state, owner, closed };
}

// An owner that cannot be read is somebody else: whoever reads as the owner must then ask again.
function ownerFrom(json: string): string | null {
  try {
    return json === '' ? null : String(JSON.parse(json));
  } catch {
    return null;
  }
}
