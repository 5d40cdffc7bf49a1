use super::*;

#[test]
fn explore() {
    let cases = [
        (
            "json.loads",
            "import json\ntext = json.dumps([{'a': i, 'b': [1.5, 'x', None], 'c': {'d': 'text'}} for i in range(100000)])\nwhile True: json.loads(text)",
        ),
        (
            "json.dumps",
            "import json\ndata = [{'a': i, 'b': [1.5, 'x', None], 'c': {'d': 'text'}} for i in range(100000)]\nwhile True: json.dumps(data)",
        ),
        ("re", "import re\ntext = 'abc def ' * 200000\nwhile True: re.findall('(a|b)+c?', text)"),
        (
            "pickle",
            "import pickle\ndata = [{'a': i, 'b': [1.5, 'x', None], 'c': {'d': 'text'}} for i in range(100000)]\nwhile True: pickle.dumps(data)",
        ),
        ("sorted", "import random\ndata = [random.random() for _ in range(300000)]\nwhile True: sorted(data)"),
        ("bigint", "n = 3 ** 200000\nwhile True: n * n"),
        ("csv", "import csv\nlines = ['a,b,c,\"d e\",f'] * 200000\nwhile True: list(csv.reader(lines))"),
        (
            "decimal",
            "import decimal\ndecimal.getcontext().prec = 20000\na = decimal.Decimal(2).sqrt(); b = decimal.Decimal(3).sqrt()\nwhile True: a / b",
        ),
        ("zlib", "import zlib\ndata = os.urandom(1 << 22)\nwhile True: zlib.compress(data)"),
        ("usleep", "usleep = ctypes.PyDLL(None).usleep\nwhile True: usleep(50000)"),
        ("gc", "import gc\ndata = [[i] for i in range(1000000)]\nwhile True: gc.collect()"),
        ("python", "loop()"),
        (
            "gc auto",
            "import gc\ngc.set_threshold(1000, 1, 1)\nkeep = []\nwhile True:\n  for i in range(1000000): keep.append([i])\n  keep.clear()",
        ),
        ("str", "s = 'ab' * 10000000\nwhile True: s.count('aba')"),
        ("join", "s = [str(i) for i in range(1000000)]\nwhile True: ','.join(s)"),
        ("sum map", "s = [i for i in range(1000000)]\nwhile True: sum(map(float, s))"),
    ];
    for interpreter in supported() {
        for (name, work) in cases {
            let (mut script, tid) = start(interpreter, work);
            thread::sleep(Duration::from_millis(1500));
            let hits = shots(&mut script, tid, 30);
            let mut counts = std::collections::BTreeMap::new();
            let mut example = std::collections::BTreeMap::new();
            for hit in &hits {
                *counts.entry((hit.function.clone(), hit.collecting)).or_insert(0) += 1;
                example.insert((hit.function.clone(), hit.collecting), hit.natives.join(" < "));
            }
            let mut pauses: Vec<_> = hits.iter().map(|hit| hit.pause).collect();
            pauses.sort();
            println!("{:?} {name}: pause p50 {:?} p90 {:?}", interpreter.version, pauses[15], pauses[27]);
            for (key, count) in counts {
                println!("    {count} {key:?} {:.400}", example[&key]);
            }
        }
    }
}
