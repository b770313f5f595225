// Verifies signed documents with Digital Bazaar's libraries, and with nothing of ours.
//
// Standard input: {"documents": [{"name", "document", "signers": n}], "didDocuments": {did: document}}.
// Standard output: {name: {"verified": true|false, "proofs": n, "reason": "…"}}.

import {DataIntegrityProof} from '@digitalbazaar/data-integrity';
import {createVerifyCryptosuite} from '@digitalbazaar/eddsa-jcs-2022-cryptosuite';
import jsigs from 'jsonld-signatures';

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

// Knows the DID documents that it was given and the keys in them; fetches nothing.
function loader(didDocuments) {
  return async url => {
    const did = url.split('#')[0];
    const found = didDocuments[did];
    if(found === undefined) {
      throw new Error(`${url} is not among the given documents`);
    }
    const method = (found.verificationMethod ?? []).find(one => one.id === url);
    const document = url === did ? found :
      {'@context': 'https://w3id.org/security/multikey/v1', ...method};
    return {contextUrl: null, documentUrl: url, document};
  };
}

async function verify({document, signers}, documentLoader) {
  const {verified, results = [], error} = await jsigs.verify(document, {
    suite: new DataIntegrityProof({cryptosuite: createVerifyCryptosuite()}),
    purpose: new jsigs.purposes.AssertionProofPurpose(),
    documentLoader
  });
  const good = results.filter(result => result.verified).length;
  const reasons = [error, ...results.map(result => result.error)].filter(Boolean);
  return {
    // The library is content with one valid proof; both parties must have signed.
    verified: verified && good === signers && results.length === signers,
    proofs: good,
    reason: reasons.map(one => [one.message, ...(one.errors ?? []).map(inner => inner.message)].join(': ')).join(' | ')
  };
}

const {documents, didDocuments} = await read(process.stdin);
const documentLoader = loader(didDocuments);
const answers = {};
for(const one of documents) {
  answers[one.name] = await verify(one, documentLoader);
}
process.stdout.write(JSON.stringify(answers));
