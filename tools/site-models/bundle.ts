/** What tools/models.mjs needs of the product: its downloader, and what reads models. */
export {
  bytesHere,
  bytesOf,
  fetchTexts,
  fetchWeights,
  foldersOf,
  openRepository,
  parseHubText,
  startDownload,
} from './hub';
export { dataFiles, inspectTexts, inspectWeights } from './inspect';
export { onnxPath } from '../../src/formats/model-source';
