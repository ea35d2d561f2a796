import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';
import svelteConfig from './svelte.config.js';

/**
 * Arrows point down: routes → lib → workers → distill → engine → kernels; anyone may use formats,
 * which uses nobody; cli stands beside workers. A room may not import the rooms named here.
 */
const forbidden = {
  kernels: 'engine|distill|workers|lib|routes|cli',
  engine: 'distill|workers|lib|routes|cli',
  distill: 'workers|lib|routes|cli',
  workers: 'lib|routes|cli',
  cli: 'workers|lib|routes',
  lib: 'routes|cli',
  routes: 'cli',
  formats: 'kernels|engine|distill|workers|lib|routes|cli',
};

/** @type {import('typescript-eslint').ConfigArray} */
const arrows = Object.entries(forbidden).map(([room, rooms]) => ({
  files: [`src/${room}/**/*.{ts,svelte}`],
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: `^((\\.\\./)+(${rooms})/${rooms.includes('lib') ? '|\\$lib/' : ''})`,
            message: `Arrows point down: src/${room} may not import this room.`,
          },
          // The main thread holds no GPU and no model: pages may only name such types.
          ...(room === 'lib' || room === 'routes'
            ? [
                {
                  regex: '^(\\.\\./)+(engine|kernels)/|^(\\.\\./)+workers/.+\\.worker',
                  message: 'Pages talk to src/workers/client.ts; only types come from below.',
                  allowTypeImports: true,
                },
                {
                  regex: '^(@huggingface/transformers|onnxruntime-web|webgpu)',
                  message: 'Models and GPU calls live in workers.',
                  allowTypeImports: true,
                },
              ]
            : []),
        ],
      },
    ],
  },
}));

/**
 * What an engine needs of a model, whatever file it comes from.
 * @type {import('typescript-eslint').ConfigArray[number]}
 */
const decoder = {
  files: ['src/formats/decoder/**/*.ts'],
  ignores: ['**/*.test.ts'],
  rules: {
    '@typescript-eslint/no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: `^(\\.\\./)+(${forbidden.formats}|onnx)/`,
            message: 'src/formats/decoder knows no ONNX and no room above.',
          },
        ],
      },
    ],
  },
};

export default ts.config(
  {
    ignores: [
      'node_modules/',
      '.svelte-kit/',
      'build/',
      'build-node/',
      'build-bench/',
      '.venv-interop/',
      '.models-work/',
      'test-results/',
      'playwright-report/',
      'public/',
    ],
  },
  js.configs.recommended,
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      // TypeScript itself reports undefined names.
      'no-undef': 'off',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      eqeqeq: 'error',
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts', '**/*.svelte.js'],
    languageOptions: {
      parserOptions: { extraFileExtensions: ['.svelte'], parser: ts.parser, svelteConfig },
    },
  },
  ...arrows,
  decoder,
);
