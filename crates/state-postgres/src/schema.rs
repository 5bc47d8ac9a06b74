//! The tables: how they are made, looked at and refused.

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use weir_foundation::failure::BoxError;
use weir_foundation::tls::Distrust;

use crate::client::{ConnectError, Connection, Connector, Parameter};
use crate::error::{OpenError, Trouble};
use crate::section::{PostgresSettings, Schema};

/// The format that this weir writes.
pub(crate) const FORMAT: i32 = 1;
/// As `server_version_num` says it.
const OLDEST_SERVER: i32 = 130_000;
/// What those who make a state at the same time wait for each other by: "weis".
const LOCK: i64 = 0x7765_6973;

/// What the catalogue of a database says, of one moment.
#[derive(Debug)]
struct Found {
    version: i32,
    encoding: String,
    is_standby: bool,
    has_schema: bool,
    /// Tables and whatever else can be read like one.
    relations: Vec<String>,
    /// Those of ours that everybody may read or change.
    exposed: Option<String>,
    /// Whether there is a table `store` that says its format.
    says_format: bool,
}

/// What is to be done with a schema.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The tables are there.
    Use,
    /// Nothing is there yet.
    Make,
    Refuse(Why),
}

/// Why not.
#[derive(Debug, PartialEq, Eq)]
enum Why {
    OldServer,
    Encoding,
    Standby,
    Newer(i32),
    Foreign(String),
    Exposed(String),
}

const LOOK: &str = "
select current_setting('server_version_num')::int4,
    (select pg_encoding_to_char(encoding)::text from pg_database where datname = current_database()),
    pg_is_in_recovery(),
    exists (select from pg_namespace where nspname = $1),
    array(select relname::text from relation order by relname),
    (select min(relname::text) from relation where relname in ('document', 'store') and (
        has_table_privilege('public', oid, 'select, insert, update, delete')
        or has_any_column_privilege('public', oid, 'select, insert, update'))),
    exists (select from relation join pg_attribute on attrelid = relation.oid
        where relname = 'store' and attname = 'format' and atttypid = 'int4'::regtype and not attisdropped)
";

/// Opens the tables, or makes them if there is nothing.
pub(crate) async fn open(
    connector: &Connector,
    settings: &PostgresSettings,
) -> Result<Connection, OpenError> {
    let connection = connector.connect().await.map_err(|error| not_connected(error, settings))?;
    let failed = |trouble: Trouble| refused(trouble, settings);
    connection.begin_to_look().await.map_err(failed)?;
    let found = look(&connection, &settings.schema).await.map_err(failed)?;
    let verdict = judge(&connection, &found, &settings.schema).await.map_err(failed)?;
    connection.run("commit").await.map_err(failed)?;
    match verdict {
        Verdict::Use => Ok(connection),
        Verdict::Refuse(why) => Err(why.of(found, settings)),
        Verdict::Make => make(connection, settings).await,
    }
}

/// One at a time looks again and makes what is missing.
async fn make(connection: Connection, settings: &PostgresSettings) -> Result<Connection, OpenError> {
    let failed = |trouble: Trouble| refused(trouble, settings);
    let schema = &settings.schema;
    connection.begin_to_make(LOCK).await.map_err(failed)?;
    let found = look(&connection, schema).await.map_err(failed)?;
    match judge(&connection, &found, schema).await.map_err(failed)? {
        Verdict::Use => {}
        Verdict::Refuse(why) => return Err(why.of(found, settings)),
        Verdict::Make => {
            if !found.has_schema {
                connection.run(&format!("create schema \"{schema}\"")).await.map_err(failed)?;
            }
            connection.run(&tables(schema)).await.map_err(failed)?;
        }
    }
    // Whether it was done is seen by who opens it next; here it is an error all the same.
    connection.run("commit").await.map_err(failed)?;
    Ok(connection)
}

fn tables(schema: &Schema) -> String {
    format!(
        "create table \"{schema}\".document (
             kind text collate \"C\" not null,
             name text collate \"C\" not null,
             version int8 not null,
             value bytea,
             primary key (kind, name)
         );
         create index document_by_version on \"{schema}\".document (version);
         create index deleted_document on \"{schema}\".document (version) where value is null;
         create table \"{schema}\".store (
             id int4 primary key check (id = 1),
             format int4 not null,
             revision int8 not null,
             forgotten int8 not null
         );
         insert into \"{schema}\".store (id, format, revision, forgotten) values (1, {FORMAT}, 0, 0);
         revoke all on \"{schema}\".document, \"{schema}\".store from public"
    )
}

async fn look(connection: &Connection, schema: &Schema) -> Result<Found, Trouble> {
    let statement = format!(
        "with relation as (
             select pg_class.oid, relname from pg_class join pg_namespace n on n.oid = relnamespace
             where nspname = $1 and relkind in ('r', 'p', 'v', 'm', 'f')
         ) {LOOK}"
    );
    let schema = schema.as_str();
    let parameters: [Parameter<'_>; 1] = [(&schema, Type::NAME)];
    let rows = connection.ask(&statement, &parameters).await?;
    let row = rows.first().ok_or(Trouble::Damaged("the catalogue says nothing"))?;
    Found::of(row).map_err(|_mismatch| Trouble::Damaged("the catalogue says something else"))
}

async fn judge(connection: &Connection, found: &Found, schema: &Schema) -> Result<Verdict, Trouble> {
    if !found.says_format {
        return Ok(found.verdict(None));
    }
    let rows = connection.ask(&format!("select format from \"{schema}\".store"), &[]).await?;
    let format = rows.first().and_then(|row| row.try_get(0).ok());
    Ok(found.verdict(format))
}

impl Found {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            version: row.try_get(0)?,
            encoding: row.try_get(1)?,
            is_standby: row.try_get(2)?,
            has_schema: row.try_get(3)?,
            relations: row.try_get(4)?,
            exposed: row.try_get(5)?,
            says_format: row.try_get(6)?,
        })
    }

    /// `format` is what the table `store` says.
    fn verdict(&self, format: Option<i32>) -> Verdict {
        if self.version < OLDEST_SERVER {
            return Verdict::Refuse(Why::OldServer);
        }
        if self.encoding != "UTF8" {
            return Verdict::Refuse(Why::Encoding);
        }
        if self.is_standby {
            return Verdict::Refuse(Why::Standby);
        }
        if let Some(newer) = format.filter(|format| *format > FORMAT) {
            return Verdict::Refuse(Why::Newer(newer));
        }
        let ours = |name: &String| matches!(&**name, "document" | "store");
        let is_whole = self.relations.iter().filter(|name| ours(name)).count() == 2 && format.is_some();
        let foreign = self.relations.iter().find(|name| !ours(name)).or(self.relations.first());
        match (is_whole, foreign, &self.exposed) {
            (true, _, Some(exposed)) => Verdict::Refuse(Why::Exposed(exposed.clone())),
            (true, _, None) => Verdict::Use,
            (false, Some(foreign), _) => Verdict::Refuse(Why::Foreign(foreign.clone())),
            (false, None, _) => Verdict::Make,
        }
    }
}

impl Why {
    fn of(self, found: Found, settings: &PostgresSettings) -> OpenError {
        let (schema, address) = (settings.schema.clone(), settings.address.clone());
        match self {
            Self::OldServer => OpenError::OldServer { found: found.version, oldest: OLDEST_SERVER },
            Self::Encoding => {
                OpenError::Encoding { database: settings.database.clone(), found: found.encoding }
            }
            Self::Standby => OpenError::Standby { address },
            Self::Newer(found) => OpenError::NewerFormat { schema, found, known: FORMAT },
            Self::Foreign(relation) => OpenError::ForeignSchema { schema, relation },
            Self::Exposed(relation) => OpenError::Exposed { schema, relation },
        }
    }
}

fn not_connected(error: ConnectError, settings: &PostgresSettings) -> OpenError {
    let address = settings.address.clone();
    if let Some(source) = Distrust::of(&error) {
        return OpenError::Untrusted { address, source };
    }
    // The driver tells these by their texts only.
    let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    for cause in causes.map(ToString::to_string) {
        match &*cause {
            "server does not support TLS" => return OpenError::NoTls { address },
            "password missing" => {
                let username = settings.username.clone();
                return OpenError::Login { username, source: "it asks for a password".into() };
            }
            _ => {}
        }
    }
    refused(error.into(), settings)
}

pub(crate) fn refused(trouble: Trouble, settings: &PostgresSettings) -> OpenError {
    let username = settings.username.clone();
    let Trouble::Refused { code, .. } = &trouble else {
        let address = settings.address.clone();
        return match trouble {
            Trouble::Silent(_) | Trouble::Lost(_) => {
                OpenError::Unreachable { address, source: trouble.into() }
            }
            other => OpenError::Failed { schema: settings.schema.clone(), source: other.into() },
        };
    };
    let code = code.clone();
    let schema = settings.schema.clone();
    let source: BoxError = trouble.into();
    match code {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            OpenError::Login { username, source }
        }
        SqlState::INVALID_CATALOG_NAME => OpenError::NoDatabase { database: settings.database.clone() },
        SqlState::INSUFFICIENT_PRIVILEGE => OpenError::NotPermitted { username, schema, source },
        // It starts, ends or is full, or another process has the tables, which it may be making.
        SqlState::CANNOT_CONNECT_NOW
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::TOO_MANY_CONNECTIONS
        | SqlState::LOCK_NOT_AVAILABLE => {
            OpenError::Unreachable { address: settings.address.clone(), source }
        }
        _ => OpenError::Failed { schema, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::PostgresSection;

    fn found(relations: &[&str]) -> Found {
        Found {
            version: 150_000,
            encoding: "UTF8".to_owned(),
            is_standby: false,
            has_schema: true,
            relations: relations.iter().map(ToString::to_string).collect(),
            exposed: None,
            says_format: relations.contains(&"store"),
        }
    }

    #[test]
    fn what_is_there_decides() {
        let check = |found: Found, format: Option<i32>, expected: Verdict| {
            assert_eq!(found.verdict(format), expected, "{found:?} {format:?}");
        };
        let foreign = |name: &str| Verdict::Refuse(Why::Foreign(name.to_owned()));
        let whole = || found(&["document", "store"]);
        check(found(&[]), None, Verdict::Make);
        check(whole(), Some(1), Verdict::Use);
        // An index or a view of an operator does no harm to what is there.
        check(found(&["a", "document", "store"]), Some(1), Verdict::Use);
        check(whole(), Some(2), Verdict::Refuse(Why::Newer(2)));
        check(found(&["else", "store"]), Some(9), Verdict::Refuse(Why::Newer(9)));
        check(whole(), None, foreign("document"));
        check(found(&["document"]), None, foreign("document"));
        check(found(&["store"]), Some(1), foreign("store"));
        check(found(&["diary", "store"]), None, foreign("diary"));
        let exposed = Found { exposed: Some("document".to_owned()), ..whole() };
        check(exposed, Some(1), Verdict::Refuse(Why::Exposed("document".to_owned())));
        check(Found { is_standby: true, ..whole() }, Some(1), Verdict::Refuse(Why::Standby));
        check(Found { is_standby: true, ..found(&[]) }, None, Verdict::Refuse(Why::Standby));
        check(Found { encoding: "LATIN1".to_owned(), ..found(&[]) }, None, Verdict::Refuse(Why::Encoding));
        check(Found { version: 129_999, ..whole() }, Some(1), Verdict::Refuse(Why::OldServer));
    }

    #[test]
    fn what_a_server_refuses_passes_or_stays() {
        let section =
            PostgresSection { address: Some("localhost:1".to_owned()), ..PostgresSection::default() };
        let settings = PostgresSettings::validate(&section).expect("is valid").expect("has an address");
        let check = |code: &str, expected: bool| {
            let message = "no".to_owned();
            let trouble = Trouble::Refused { code: SqlState::from_code(code), message, goes_on: false };
            assert_eq!(refused(trouble, &settings).is_passing(), expected, "{code}");
        };
        for code in ["57P01", "57P02", "57P03", "53300", "55P03"] {
            check(code, true);
        }
        // The password, the database, rights, a database that was dropped, a table that is not there.
        for code in ["28P01", "28000", "3D000", "42501", "57P04", "42P01"] {
            check(code, false);
        }
    }
}
