//! One JSON text at a time, as a flat list of its parts that the next one overwrites: nothing is allocated per
//! value. It reads what Python's `json` reads, but for numbers that are no i64, half characters (surrogates),
//! and deep nesting; for these and for whatever is broken it says no more than that.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Null,
    Bool(bool),
    Int(i64),
    /// A number with a fraction or an exponent.
    Real,
    /// Bytes of the source, or of `Json::plain` where there were escapes.
    Text { start: u32, end: u32, escaped: bool },
    /// The parts up to before `end` are its items.
    List { end: u32 },
    /// The parts up to before `end` are keys and values in turn.
    Object { end: u32 },
}

const DEEPEST: usize = 64;

pub struct Broken;

#[derive(Default)]
pub struct Json {
    parts: Vec<Part>,
    plain: Vec<u8>,
}

impl Json {
    /// The value that is the whole text.
    pub fn read<'a>(&'a mut self, source: &'a [u8]) -> Result<Value<'a>, Broken> {
        self.parts.clear();
        self.plain.clear();
        if source.len() > u32::MAX as usize {
            return Err(Broken);
        }
        let mut parser = Parser { json: self, source, at: 0 };
        parser.value(0)?;
        parser.blank();
        if parser.at != source.len() {
            return Err(Broken);
        }
        Ok(Value { json: self, source, at: 0 })
    }
}

struct Parser<'a> {
    json: &'a mut Json,
    source: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn blank(&mut self) {
        while matches!(self.source.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte behind blanks is this one.
    fn is(&mut self, byte: u8) -> bool {
        self.blank();
        let found = self.source.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn must(&mut self, byte: u8) -> Result<(), Broken> {
        self.is(byte).then_some(()).ok_or(Broken)
    }

    fn word(&mut self, word: &[u8], part: Part) -> Result<(), Broken> {
        let found = self.source[self.at..].starts_with(word);
        self.at += word.len();
        self.json.parts.push(part);
        found.then_some(()).ok_or(Broken)
    }

    fn value(&mut self, depth: usize) -> Result<(), Broken> {
        self.blank();
        match self.source.get(self.at) {
            Some(b'"') => self.text(),
            Some(b'{') if depth < DEEPEST => self.object(depth),
            Some(b'[') if depth < DEEPEST => self.list(depth),
            Some(b'n') => self.word(b"null", Part::Null),
            Some(b't') => self.word(b"true", Part::Bool(true)),
            Some(b'f') => self.word(b"false", Part::Bool(false)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(Broken),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Broken> {
        let begun = self.json.parts.len();
        self.json.parts.push(Part::Null);
        self.at += 1;
        let mut empty = true;
        while !(empty && self.is(b'}')) {
            empty = false;
            self.blank();
            if self.source.get(self.at) != Some(&b'"') {
                return Err(Broken);
            }
            self.text()?;
            self.must(b':')?;
            self.value(depth + 1)?;
            if self.is(b'}') {
                break;
            }
            self.must(b',')?;
        }
        self.json.parts[begun] = Part::Object { end: self.json.parts.len() as u32 };
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<(), Broken> {
        let begun = self.json.parts.len();
        self.json.parts.push(Part::Null);
        self.at += 1;
        let mut empty = true;
        while !(empty && self.is(b']')) {
            empty = false;
            self.value(depth + 1)?;
            if self.is(b']') {
                break;
            }
            self.must(b',')?;
        }
        self.json.parts[begun] = Part::List { end: self.json.parts.len() as u32 };
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Broken> {
        let begun = self.at;
        while self.source.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > begun).then_some(()).ok_or(Broken)
    }

    fn number(&mut self) -> Result<(), Broken> {
        let begun = self.at;
        self.at += usize::from(self.source[self.at] == b'-');
        let first = self.at;
        self.digits()?;
        if self.source[first] == b'0' && self.at > first + 1 {
            return Err(Broken);
        }
        let mut part = Part::Real;
        if !matches!(self.source.get(self.at), Some(b'.' | b'e' | b'E')) {
            if self.at - first > 18 {
                return Err(Broken);
            }
            let digits = self.source[first..self.at].iter();
            let size = digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            part = Part::Int(if first > begun { -size } else { size });
        } else {
            if self.source[self.at] == b'.' {
                self.at += 1;
                self.digits()?;
            }
            if matches!(self.source.get(self.at), Some(b'e' | b'E')) {
                self.at += 1;
                self.at += usize::from(matches!(self.source.get(self.at), Some(b'+' | b'-')));
                self.digits()?;
            }
        }
        self.json.parts.push(part);
        Ok(())
    }

    fn text(&mut self) -> Result<(), Broken> {
        let begun = self.at + 1;
        let rest = self.source.get(begun..).unwrap_or_default();
        let stop = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=31)).ok_or(Broken)?;
        self.at = begun + stop;
        if self.source[self.at] == b'"' {
            self.at += 1;
            self.json.parts.push(Part::Text { start: begun as u32, end: (begun + stop) as u32, escaped: false });
            return Ok(());
        }
        let start = self.json.plain.len();
        self.json.plain.extend_from_slice(&rest[..stop]);
        loop {
            let byte = *self.source.get(self.at).ok_or(Broken)?;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => self.escape()?,
                0..=31 => return Err(Broken),
                _ => self.json.plain.push(byte),
            }
        }
        let end = self.json.plain.len() as u32;
        self.json.parts.push(Part::Text { start: start as u32, end, escaped: true });
        Ok(())
    }

    /// Behind a backslash.
    fn escape(&mut self) -> Result<(), Broken> {
        let byte = *self.source.get(self.at).ok_or(Broken)?;
        self.at += 1;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let digits = self.source.get(self.at..self.at + 4).ok_or(Broken)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Broken);
                }
                let digits = std::str::from_utf8(digits).map_err(|_| Broken)?;
                let code = u32::from_str_radix(digits, 16).map_err(|_| Broken)?;
                let letter = char::from_u32(code).ok_or(Broken)?; // not one half of a pair
                self.at += 4;
                self.json.plain.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(Broken),
        };
        self.json.plain.push(plain);
        Ok(())
    }
}

/// A value of the text that was read last.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    json: &'a Json,
    source: &'a [u8],
    at: usize,
}

impl<'a> Value<'a> {
    pub fn part(self) -> Part {
        self.json.parts[self.at]
    }

    fn end(self) -> usize {
        match self.part() {
            Part::List { end } | Part::Object { end } => end as usize,
            _ => self.at + 1,
        }
    }

    fn at(self, at: usize) -> Self {
        Value { at, ..self }
    }

    pub fn text(self) -> Option<&'a [u8]> {
        match self.part() {
            Part::Text { start, end, escaped } => {
                let source = if escaped { &self.json.plain } else { self.source };
                Some(&source[start as usize..end as usize])
            }
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(self) -> Option<impl Iterator<Item = Value<'a>>> {
        let Part::List { end } = self.part() else { return None };
        let mut at = self.at + 1;
        Some(std::iter::from_fn(move || {
            let item = (at < end as usize).then(|| self.at(at))?;
            at = item.end();
            Some(item)
        }))
    }

    /// Names and values of an object.
    pub fn fields(self) -> Option<impl Iterator<Item = (&'a [u8], Value<'a>)>> {
        let Part::Object { end } = self.part() else { return None };
        let mut at = self.at + 1;
        Some(std::iter::from_fn(move || {
            let name = (at < end as usize).then(|| self.at(at))?;
            let value = self.at(at + 1);
            at = value.end();
            Some((name.text().unwrap_or_default(), value))
        }))
    }
}
