// Prints the template of a riskgate with every variable set (argument `all`) or none. deploy/test_cdk.py compares it with the SAM template.

import { newPool, everyVariable, synthesise } from './stack';

const every = process.argv[2] === 'all';
const { template } = synthesise(newPool, (stack) => (every ? everyVariable(stack) : {}));
process.stdout.write(JSON.stringify(template.toJSON()));
