/** The whole study as files: tables and the charts that they show. */
import { studyCharts } from './charts';
import type { Items } from './measures';
import { openStudy } from './systems';
import { studyMarkdown } from './tables';

/**
 * @param documents sweep documents with the names that the tables give them
 * @returns contents by file name; nothing but the documents and prompts decides them
 * @throws SpecError where a text is no sweep document
 */
export function studyFiles(
  documents: readonly { name: string; text: string }[],
  items: Items,
): Map<string, string> {
  const study = openStudy(documents);
  const charts = studyCharts(study, items);
  const shown = [...charts.keys()].map((name) => `![${name.replace('.svg', '')}](${name})`);
  const gallery = shown.length > 0 ? `\n## Charts\n\n${shown.join('\n\n')}\n` : '';
  return new Map([['tables.md', `${studyMarkdown(study, items)}${gallery}`], ...charts]);
}
