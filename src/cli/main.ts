// The headless entry of Retort (`npm run distill`): the app's engine and method, in Node on Dawn.

const HELP = `Usage: npm run distill -- [options]

  --help   show this text
`;

const args = process.argv.slice(2);
if (args.length === 0 || args.includes('--help')) {
  process.stdout.write(HELP);
} else {
  process.stderr.write(`Unknown option ${args[0]}; --help lists the options.\n`);
  process.exitCode = 2;
}
