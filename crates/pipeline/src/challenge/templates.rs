//! The texts of e-mails, one for each locale, in text and HTML.

use std::{collections::BTreeMap, path::Path};

use riskgate_config::{encoding, env::ConfigError};

/// The variable that names the operator's directory.
const VARIABLE: &str = "RISKGATE_CHALLENGE_TEMPLATES";

/// The locale whose texts are used if no other one fits.
const DEFAULT: &str = "en";

/// The placeholder of the code, which every text needs, and the placeholder of its validity.
const CODE: &str = "{code}";
const MINUTES: &str = "{minutes}";

/// The largest file, in bytes.
const MAX_BYTES: usize = 64 * 1024;

macro_rules! built_in {
    ($($locale:literal),*) => {
        /// The built-in texts: locale, text, HTML.
        const BUILT_IN: &[(&str, &str, &str)] =
            &[$(($locale, include_str!(concat!("../../templates/challenge/", $locale, ".txt")), include_str!(concat!("../../templates/challenge/", $locale, ".html")))),*];
    };
}

built_in!("en", "de", "fr", "es");

/// The texts of every locale.
#[derive(Debug, Clone)]
pub struct Templates(BTreeMap<String, Template>);

/// The text of one locale.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    subject: String,
    text: String,
    html: String,
}

/// The filled texts of an e-mail. It has no `Debug`, because it contains a code.
pub struct Message {
    /// The subject.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

impl Templates {
    /// The built-in texts, and those of the operator's directory in their place.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or lacks its subject or the placeholder of the code. The built-in text then stays in use.
    pub fn open(directory: Option<&Path>) -> (Self, Vec<ConfigError>) {
        let built_in = BUILT_IN.iter().filter_map(|(locale, text, html)| Some(((*locale).to_owned(), Template::parse(text, html).ok()?)));
        let (mut templates, mut faults) = (Templates(built_in.collect()), Vec::new());
        match directory.map(|directory| read_directory(directory, &mut faults)).transpose() {
            Ok(own) => templates.0.extend(own.into_iter().flatten()),
            Err(problem) => faults.push(fault(problem)),
        }
        (templates, faults)
    }

    /// The e-mail with a code, in the first locale of `preferred` for which there is a text.
    pub fn fill<'a>(&self, preferred: impl Iterator<Item = &'a str>, code: &str, minutes: u64) -> Option<Message> {
        let template = preferred.filter_map(|locale| self.find(locale)).next().or_else(|| self.0.get(DEFAULT))?;
        let fill = |text: &str| text.replace(CODE, code).replace(MINUTES, &minutes.to_string());
        Some(Message { subject: fill(&template.subject), text: fill(&template.text), html: fill(&template.html) })
    }

    /// The text of a locale such as `pt-BR`, or of its language.
    fn find(&self, locale: &str) -> Option<&Template> {
        let locale = locale.trim().replace('_', "-").to_ascii_lowercase();
        let language = locale.split('-').next().unwrap_or_default();
        self.0.get(&locale).or_else(|| self.0.get(language))
    }
}

/// The locales of an `Accept-Language` list, in its order, which is that of preference in every browser.
pub fn accepted(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|range| range.split(';').next().unwrap_or_default().trim())
}

impl Template {
    /// Reads the two files of a locale. The first line of the text is `Subject: ...`.
    fn parse(text: &str, html: &str) -> Result<Self, &'static str> {
        let text = text.replace("\r\n", "\n");
        let (first, rest) = text.split_once('\n').unwrap_or_default();
        let subject = first.strip_prefix("Subject:").map(str::trim).filter(|subject| !subject.is_empty()).ok_or("must begin with the line `Subject: ...`")?;
        if !(rest.contains(CODE) && html.contains(CODE)) {
            return Err("must contain {code} in its text and in its HTML");
        }
        Ok(Template { subject: subject.to_owned(), text: rest.trim_start_matches('\n').to_owned(), html: html.to_owned() })
    }
}

/// Reads the `LOCALE.txt` of a directory, each with its `LOCALE.html`.
fn read_directory(directory: &Path, faults: &mut Vec<ConfigError>) -> Result<Vec<(String, Template)>, String> {
    let entries = std::fs::read_dir(directory).map_err(|error| format!("cannot read the directory: {}", error.kind()))?;
    let mut templates = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|extension| extension == "txt")) {
        let locale = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let read = read_file(&path).and_then(|text| Ok((text, read_file(&path.with_extension("html"))?)));
        match read.and_then(|(text, html)| Template::parse(&text, &html).map_err(str::to_owned)) {
            Ok(template) => templates.push((locale.replace('_', "-").to_ascii_lowercase(), template)),
            Err(problem) => faults.push(fault(format!("{locale}: {problem}"))),
        }
    }
    if templates.is_empty() && faults.is_empty() {
        return Err("has no file LOCALE.txt such as en.txt".to_owned());
    }
    Ok(templates)
}

fn read_file(path: &Path) -> Result<String, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {name}: {}", error.kind()))?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("{name} is larger than {MAX_BYTES} bytes"));
    }
    encoding::decode(bytes).map_err(|_| format!("{name} is not text"))
}

fn fault(problem: impl Into<String>) -> ConfigError {
    ConfigError { variable: VARIABLE.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(templates: &Templates, list: &str) -> String {
        templates.fill(accepted(list), "12345678", 3).expect("a text").subject
    }

    #[test]
    fn the_first_locale_with_a_text_is_used() {
        let (templates, faults) = Templates::open(None);
        assert!(faults.is_empty() && templates.0.len() == BUILT_IN.len(), "{faults:?}");
        for (list, expected) in [
            ("de-CH,en;q=0.8", "Ihr Anmeldecode"),
            ("nb-NO,nb;q=0.9,de;q=0.5", "Ihr Anmeldecode"),
            ("de_AT", "Ihr Anmeldecode"),
            ("FR", "Votre code de connexion"),
            ("es-419", "Su código de inicio de sesión"),
            ("xx, *", "Your sign-in code"),
            ("", "Your sign-in code"),
        ] {
            assert_eq!(subject(&templates, list), expected, "{list}");
        }
    }

    #[test]
    fn every_text_has_the_code_and_its_validity() {
        let (templates, _) = Templates::open(None);
        for locale in templates.0.keys() {
            let message = templates.fill(std::iter::once(locale.as_str()), "12345678", 10).expect("a text");
            for part in [&message.text, &message.html] {
                assert!(part.contains("12345678") && part.contains("10") && !part.contains('{'), "{locale}: {part}");
            }
        }
    }

    #[test]
    fn files_of_the_operator_replace_the_built_in_ones() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
        write("de.txt", "Subject: Bank-Code\n\nCode {code}, {minutes} min\n");
        write("de.html", "<p>{code}</p>");
        write("pt-BR.txt", "Subject: Seu código\r\n\r\n{code}");
        write("pt-BR.html", "<p>{code}</p>");
        let (templates, faults) = Templates::open(Some(directory.path()));
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(
            (subject(&templates, "de"), subject(&templates, "pt-br"), subject(&templates, "pt")),
            ("Bank-Code".into(), "Seu código".into(), "Your sign-in code".into())
        );
        assert_eq!(templates.fill(std::iter::once("de"), "1", 3).expect("a text").text, "Code 1, 3 min\n");
        for (text, problem) in [("Code {code}", "Subject"), ("Subject: x\n\nnothing", "{code}")] {
            write("fr.txt", text);
            write("fr.html", "<p>{code}</p>");
            let (templates, faults) = Templates::open(Some(directory.path()));
            assert!(faults.len() == 1 && faults[0].problem.contains(problem), "{faults:?}");
            assert_eq!(subject(&templates, "fr"), "Votre code de connexion");
        }
        let (_, faults) = Templates::open(Some(&directory.path().join("absent")));
        assert_eq!(faults.len(), 1, "{faults:?}");
    }
}
