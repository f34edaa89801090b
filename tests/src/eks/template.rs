//! `nodegroup.yaml` as data, and its user data as CloudFormation would fill it in.

use serde_json::Value;
use tokio::sync::OnceCell;

use super::EXAMPLE;
use crate::{Error, Result, python::Python};

/// The region that user data is filled in for.
pub const REGION: &str = "us-east-2";

/// The template, with CloudFormation's short forms written out.
#[derive(Clone, Debug)]
pub struct Template(Value);

impl Template {
    /// The template of the example.
    ///
    /// # Errors
    /// When it is no YAML, or Python is missing.
    pub async fn read() -> Result<Self> {
        static READ: OnceCell<Value> = OnceCell::const_new();
        let read = async || {
            let path = format!("{EXAMPLE}/nodegroup.yaml");
            let python = Python::ensure().await?;
            let printed = python.script("as_json.py", &[&path]).await?;
            Ok(printed.into_iter().next().unwrap_or(Value::Null))
        };
        READ.get_or_try_init(read).await.cloned().map(Self)
    }

    /// What is at a JSON pointer; `null` where nothing is.
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The properties of a resource.
    pub fn properties(&self, resource: &str) -> &Value {
        self.at(&format!("/Resources/{resource}/Properties"))
    }

    /// The default of a parameter.
    pub fn default(&self, parameter: &str) -> &str {
        let default = self.at(&format!("/Parameters/{parameter}/Default"));
        default.as_str().unwrap_or_default()
    }

    /// The user data of an instance. Parameters that `set` does not name have their defaults.
    ///
    /// # Errors
    /// When it is not what is expected of the template, or has a name that nothing stands for.
    pub fn user_data(&self, set: &[(&str, &str)]) -> Result<String> {
        let launch = self.properties("NodeGroupLaunchTemplate");
        let text = launch
            .pointer("/LaunchTemplateData/UserData/Fn::Base64/Fn::Sub")
            .and_then(Value::as_str)
            .ok_or_else(|| Error::Usage("the template has no user data".into()))?;
        let mut filled = String::new();
        let mut parts = text.split("${");
        filled += parts.next().unwrap_or_default();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            let value = match name.strip_prefix('!') {
                Some(literal) => format!("${{{literal}}}"),
                None => self.value(name, set)?,
            };
            filled += &value;
            filled += rest;
        }
        Ok(filled)
    }

    fn value(&self, name: &str, set: &[(&str, &str)]) -> Result<String> {
        if let Some((_, value)) = set.iter().find(|(other, _)| *other == name) {
            return Ok((*value).to_owned());
        }
        if name == "AWS::Region" {
            return Ok(REGION.to_owned());
        }
        match self.at(&format!("/Parameters/{name}/Default")).as_str() {
            Some(default) => Ok(default.to_owned()),
            None => Err(Error::Usage(format!(
                "nothing stands for {name} in the user data"
            ))),
        }
    }
}
